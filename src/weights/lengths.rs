//! How many bytes the weights of a model take, before they are loaded, and even before they are downloaded.

use super::storage::stored_bytes;
use super::{Header, Storage, Stored, files, packed};
use crate::Result;
use crate::parts::{FileLength, Part};
use crate::setting::Setting;
use crate::source::{Source, architecture};

/// The end of a token table's name.
const TABLE: &str = "token_embedding.weight";

/// Bytes of the weights of each part as they will be kept, and of the largest single one that a device gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WeightBytes {
    /// The text encoder without its token table.
    pub text: u64,
    /// Token tables, which stay on the host.
    pub tables: u64,
    /// The U-Net.
    pub unet: u64,
    /// The encoder half of the autoencoder.
    pub encoder: u64,
    /// The decoder half.
    pub decoder: u64,
    /// The largest weight on the device.
    pub largest: u64,
    /// The narrowest form that any of them is stored in. What is narrower than f32 is widened only while it is used.
    pub narrowest: Stored,
}

impl WeightBytes {
    /// Adds up what the headers of a model's files say. `left` are beginnings of the names of weights that are never loaded.
    ///
    /// # Errors
    /// As for [`super::Weights::open`].
    pub async fn read(source: &dyn Source, storage: Storage, left: &[(Part, String)]) -> Result<Self> {
        let mut sum = Self::default();
        for part in architecture(source).await?.with_weights() {
            for path in files::expect(source, part).await?.paths {
                let header = Header::read(source, &path, source.length(&path).await?.unwrap_or(0)).await?;
                let is_left = |name: &str| left.iter().any(|(of, begin)| *of == part && name.starts_with(begin));
                let counts = |name: &str| !is_left(name) && !packed::is_scales(&header, name);
                for entry in header.tensors().filter(|entry| counts(&entry.name)) {
                    let (bytes, stored) = stored_bytes(part, entry, storage);
                    sum.narrowest = sum.narrowest.narrower(stored);
                    if entry.name.ends_with(TABLE) {
                        sum.tables += bytes;
                        continue;
                    }
                    sum.largest = sum.largest.max(bytes);
                    *match part {
                        Part::Unet => &mut sum.unet,
                        Part::Vae if entry.name.starts_with("encoder.") || entry.name.starts_with("quant_conv") => {
                            &mut sum.encoder
                        }
                        Part::Vae => &mut sum.decoder,
                        _ => &mut sum.text,
                    } += bytes;
                }
            }
        }
        Ok(sum)
    }

    /// The least that the weights can take, judged only by the lengths of their files, before they are fetched.
    ///
    /// A file whose name does not say so may be in half precision all the same, so this is a lower bound.
    pub fn at_least(files: &[FileLength], storage: Storage) -> Self {
        let mut sum = Self::default();
        for file in files {
            let said = Stored::from(file.precision);
            let stored = match storage {
                Storage::AsFile => said,
                Storage::Q8 if file.part != Part::Vae => Stored::Q8,
                Storage::F16 | Storage::Q8 => Stored::F16,
                Storage::F32 => Stored::F32,
            };
            let bytes = stored.bytes_of(file.bytes / said.bytes_of(1));
            sum.narrowest = sum.narrowest.narrower(stored);
            match file.part {
                Part::Unet => sum.unet += bytes,
                // Stable Diffusion's: 34 of 84 million parameters.
                Part::Vae => {
                    sum.encoder += bytes / 5 * 2;
                    sum.decoder += bytes / 5 * 3;
                }
                _ => sum.text += bytes,
            }
        }
        sum
    }

    /// What to say where f16 was `chosen` for weights of which the files have some in eight bits.
    pub fn left_in_eight_bits(&self, chosen: Option<Storage>) -> Option<String> {
        let is_left = chosen == Some(Storage::F16) && self.narrowest == Stored::Q8;
        let (weights, convert) = (Setting::Weights, cfg!(feature = "native"));
        let advice = if convert {
            format!("; pseudoword models convert, with {weights} f16, writes a model in f16")
        } else {
            String::new()
        };
        is_left.then(|| {
            format!("some weights are in eight bits in the model's files, and {weights} f16 leaves them so{advice}")
        })
    }

    /// What stays on the device for as long as the model is used for the job.
    pub fn resident(&self) -> u64 {
        self.text + self.unet + self.decoder
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ModelConfig;
    use crate::parts::Precision;
    use crate::source::Folder;

    fn read(storage: Storage) -> WeightBytes {
        pollster::block_on(WeightBytes::read(&Folder::new("tests/fixtures/mini-f16"), storage, &[])).unwrap()
    }

    #[test]
    fn weights_are_counted_as_they_will_be_kept() {
        let (half, wide) = (read(Storage::AsFile), read(Storage::F32));
        assert_eq!((half.narrowest, wide.narrowest), (Stored::F16, Stored::F32));
        assert_eq!(2 * half.unet, wide.unet);
        assert_eq!(2 * half.resident(), wide.resident());
        assert!(half.encoder > 0 && half.decoder > half.encoder);
        // 34 bytes for 32 values of nearly all; the autoencoder stays as it is.
        let quantised = read(Storage::Q8);
        assert_eq!(
            (quantised.narrowest, quantised.decoder, quantised.encoder),
            (Stored::Q8, half.decoder, half.encoder)
        );
        for (narrow, half) in [(quantised.unet, half.unet), (quantised.tables, half.tables)] {
            let share = narrow as f64 / half as f64;
            assert!((0.531..0.56).contains(&share), "{share}");
        }
        assert!(2 * quantised.text < half.text + half.text / 4, "{quantised:?} {half:?}");
    }

    #[test]
    fn what_is_left_in_the_files_does_not_count() {
        let source = Folder::new("tests/fixtures/tiny-sdxl");
        let config = pollster::block_on(ModelConfig::read(&source)).unwrap();
        let read = |left: &[_]| pollster::block_on(WeightBytes::read(&source, Storage::F32, left)).unwrap();
        let (all, loaded) = (read(&[]), read(&config.left_in_files()));
        // The last layer of the first text encoder: four projections, an MLP, two norms; and the norm after it.
        let (width, inner) = (config.text().hidden_size, config.text().intermediate_size);
        let layer = 4 * (width * width + width) + 2 * width * inner + inner + width + 4 * width;
        assert_eq!(all.text - loaded.text, 4 * (layer + 2 * width) as u64);
        assert_eq!(WeightBytes { text: all.text, ..loaded }, all);
    }

    #[test]
    fn what_is_judged_by_lengths_alone_is_no_more_than_what_the_headers_say() {
        let source = Folder::new("tests/fixtures/mini-f16");
        let length = |part| {
            let path = pollster::block_on(files::expect(&source, part)).unwrap().paths.remove(0);
            let bytes = pollster::block_on(source.length(&path)).unwrap().unwrap();
            // Nearly all of it is in f16, without a word of that in its name.
            FileLength { part, bytes, precision: Precision::Full }
        };
        let lengths = [Part::TextEncoder, Part::Unet, Part::Vae].map(length);
        for storage in [Storage::AsFile, Storage::F16, Storage::F32, Storage::Q8] {
            let (least, known) = (WeightBytes::at_least(&lengths, storage), read(storage));
            assert!(least.unet <= known.unet + known.unet / 50, "{storage:?}: {least:?} {known:?}");
            assert!(2 * least.resident() + (1 << 20) >= known.resident() / 2, "{storage:?}: {least:?} {known:?}");
        }
        let said = lengths.map(|file| FileLength { precision: Precision::Half, ..file });
        let [half, wide] = [Storage::F16, Storage::F32].map(|storage| WeightBytes::at_least(&said, storage));
        assert_eq!((half.unet, 2 * half.unet), (lengths[1].bytes, wide.unet));
        assert_eq!((half.narrowest, wide.narrowest), (Stored::F16, Stored::F32));
    }
}
