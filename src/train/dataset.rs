//! Pictures, encoded once: what training needs of them is the mean and spread of their latents.

use burn::tensor::Tensor;

use crate::config::Framing;
use crate::image::{Picture, mirror, square, to_floats};
use crate::model::Model;
use crate::vae::VaeEncoder;
use crate::vae::tiling::{self, Map};
use crate::{Error, Result, layout};

/// The posterior of one view of a picture, on the host.
pub(super) struct Cached {
    /// Means, `[4, h, w]`.
    pub mean: Vec<f32>,
    /// Standard deviations, `[4, h, w]`.
    pub std: Vec<f32>,
    /// Height and width.
    pub size: [usize; 2],
}

/// The views (as it is, and mirrored) of each picture, and its own caption if it has one.
pub(super) struct Dataset {
    pub pictures: Vec<Vec<Cached>>,
    pub captions: Vec<Option<String>>,
    flips: bool,
}

impl Dataset {
    pub fn new(flips: bool, captions: Vec<Option<String>>) -> Self {
        Self { pictures: Vec::new(), captions, flips }
    }

    /// Adds a picture; says how it was prepared.
    pub async fn encode(
        &mut self,
        picture: &Picture,
        side: u32,
        framing: Framing,
        encoder: &VaeEncoder,
        model: &Model,
    ) -> Result<String> {
        let (pixels, note) = square(picture, side, framing);
        let mut views = vec![to_floats(&pixels)];
        if self.flips {
            views.push(to_floats(&mirror(&pixels)));
        }
        let mut cached = Vec::new();
        for view in views {
            let shape = [1, side as usize, side as usize, 3];
            let tensor = Tensor::<1>::from_floats(view.as_slice(), &model.device).reshape(shape);
            let tile = tiling::TILE * model.config.vae.pixels_per_latent();
            let Map { size: size @ [h, w], channels, values } = tiling::encode(encoder, &tensor, tile).await?;
            if values.iter().any(|value| !value.is_finite()) {
                let reason = "the autoencoder gives values for it that are not numbers".to_owned();
                return Err(Error::BadPicture { file: picture.name.clone(), reason });
            }
            let mut mean = layout::channels_first(&values, [1, h, w, channels]);
            let std = mean.split_off(mean.len() / 2);
            cached.push(Cached { mean, std, size });
        }
        self.pictures.push(cached);
        Ok(note)
    }
}
