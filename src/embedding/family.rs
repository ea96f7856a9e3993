//! The families of models that embeddings are learned on, told apart by the widths of their text encoders.

/// A family of models, each of which can use the embeddings of the others of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelFamily {
    /// The small model in this program.
    Mini,
    /// Stable Diffusion 1.x: OpenAI's CLIP ViT-L/14.
    Sd1,
    /// Stable Diffusion 2.x: OpenCLIP ViT-H/14.
    Sd2,
    /// SDXL and what was made of it: ViT-L/14 and OpenCLIP ViT-bigG/14.
    Sdxl,
}

impl ModelFamily {
    /// Every family, the smallest first.
    pub const ALL: [Self; 4] = [Self::Mini, Self::Sd1, Self::Sd2, Self::Sdxl];

    /// The family whose text encoders have these widths, one for each; none for others.
    pub const fn of(widths: &[usize]) -> Option<Self> {
        match *widths {
            [128] => Some(Self::Mini),
            [768] => Some(Self::Sd1),
            [1024] => Some(Self::Sd2),
            [768, 1280] => Some(Self::Sdxl),
            _ => None,
        }
    }

    /// As people call it.
    pub const fn name(self) -> &'static str {
        match self {
            ModelFamily::Mini => "pseudoword's mini model",
            ModelFamily::Sd1 => "Stable Diffusion 1.x",
            ModelFamily::Sd2 => "Stable Diffusion 2.x",
            ModelFamily::Sdxl => "SDXL",
        }
    }
}
