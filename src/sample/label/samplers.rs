//! Samplers and spacings of noise levels as other programs call them.

use crate::config::SamplerKind;

/// What a name of a sampler stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Named {
    /// The sampler, or the one here that is nearest to it.
    pub sampler: SamplerKind,
    /// Whether it is the one that was named.
    pub is_it: bool,
    /// Whether the name asks for Karras' spacing, as older names do.
    pub karras: bool,
}

/// What a spacing is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spacing {
    /// Karras'.
    Karras,
    /// None of its own.
    Usual,
    /// Another one.
    Other,
}

/// The letters and digits of a name: `DPM++ 2M` and `dpmpp_2m` are one.
fn bare(name: &str) -> String {
    name.to_lowercase().replace("++", "pp").chars().filter(|c| c.is_alphanumeric()).collect()
}

/// The sampler of a name: as A1111 calls it, now and before spacings had a name of their own, with k-diffusion's aliases; as
/// ComfyUI, stable-diffusion.cpp and diffusers do; and ours.
pub(super) fn sampler(name: &str) -> Named {
    let bare = bare(name);
    let without =
        bare.strip_suffix("karras").or_else(|| bare.strip_prefix('k').and_then(|bare| bare.strip_suffix("ka")));
    let (karras, bare) = (without.is_some(), without.unwrap_or(&bare));
    let (sampler, is_it) = match bare.strip_prefix('k').unwrap_or(bare) {
        "ddim" => (SamplerKind::Ddim, true),
        "pndm" | "plms" => (SamplerKind::Pndm, true),
        "euler" => (SamplerKind::Euler, true),
        "eulera" | "eulerancestral" => (SamplerKind::EulerAncestral, true),
        "dpmpp2m" | "dpmsolvermultistep" => (SamplerKind::Dpmpp2m, true),
        // Those that add noise at each step; those of higher order; and the rest.
        other if ["a", "ancestral", "sde", "lcm"].iter().any(|end| other.ends_with(end)) || other.contains("sde") => {
            (SamplerKind::EulerAncestral, false)
        }
        other if other.starts_with("dpm") || ["unipc", "deis"].contains(&other) => (SamplerKind::Dpmpp2m, false),
        _ => (SamplerKind::Euler, false),
    };
    Named { sampler, is_it, karras }
}

/// The spacing of a name, for a sampler. A1111's "Automatic" is Karras' for the one sampler here of which it is usual
/// (`modules/sd_samplers_kdiffusion.py`).
pub(super) fn spacing(name: &str, sampler: SamplerKind) -> Spacing {
    match bare(name).as_str() {
        "karras" => Spacing::Karras,
        "automatic" if sampler == SamplerKind::Dpmpp2m => Spacing::Karras,
        "automatic" | "uniform" | "normal" | "discrete" | "default" | "" => Spacing::Usual,
        _ => Spacing::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use SamplerKind::{Ddim, Dpmpp2m, Euler, EulerAncestral, Pndm};

    #[test]
    fn samplers_are_known_by_all_their_names() {
        for (name, sampler, karras) in [
            ("DPM++ 2M", Dpmpp2m, false),
            ("DPM++ 2M Karras", Dpmpp2m, true),
            ("k_dpmpp_2m_ka", Dpmpp2m, true),
            ("dpmpp_2m", Dpmpp2m, false),
            ("dpm++2m", Dpmpp2m, false),
            ("Euler a", EulerAncestral, false),
            ("k_euler_a", EulerAncestral, false),
            ("euler_ancestral", EulerAncestral, false),
            ("Euler", Euler, false),
            ("DDIM", Ddim, false),
            ("PLMS", Pndm, false),
        ] {
            assert_eq!(super::sampler(name), Named { sampler, is_it: true, karras }, "{name}");
        }
        for kind in SamplerKind::ALL {
            for name in [kind.name(), kind.label(), kind.upstream()] {
                let named = Named { sampler: kind, is_it: true, karras: false };
                assert_eq!((super::sampler(name), super::sampler(&format!("{name} karras")).karras), (named, true));
            }
        }
    }

    #[test]
    fn of_others_the_nearest_is_taken() {
        for (name, sampler, karras) in [
            ("DPM++ 2M SDE Karras", EulerAncestral, true),
            ("DPM2 a Karras", EulerAncestral, true),
            ("DPM++ 3M", Dpmpp2m, false),
            ("UniPC", Dpmpp2m, false),
            ("Heun", Euler, false),
            ("LMS Karras", Euler, true),
            ("", Euler, false),
            ("\u{1f98a}", Euler, false),
        ] {
            assert_eq!(super::sampler(name), Named { sampler, is_it: false, karras }, "{name}");
        }
    }

    #[test]
    fn spacings_have_names_too() {
        for (name, expected) in [
            ("Karras", Spacing::Karras),
            ("karras", Spacing::Karras),
            ("Uniform", Spacing::Usual),
            ("normal", Spacing::Usual),
            ("Exponential", Spacing::Other),
            ("SGM Uniform", Spacing::Other),
        ] {
            assert_eq!(spacing(name, Euler), expected, "{name}");
        }
        assert_eq!((spacing("Automatic", Euler), spacing("Automatic", Dpmpp2m)), (Spacing::Usual, Spacing::Karras));
    }
}
