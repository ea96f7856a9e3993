//! Numbers in a checkpoint beside its weights, of its noise schedule and its autoencoder, against those that are used.

use std::collections::BTreeMap;

use half::{bf16, f16};

use crate::Result;
use crate::parts::Part;
use crate::schedule::{NoiseSchedule, SchedulerConfig};
use crate::source::Source;
use crate::vae::VaeConfig;
use crate::weights::Header;

/// What differs.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// In sentences.
    pub notes: Vec<String>,
    /// What of it tells of zero terminal SNR.
    pub zero_snr: Option<String>,
}

impl Numbers {
    /// Those of a file, against the configurations with which it is used.
    ///
    /// # Errors
    /// Those of reading the file.
    pub async fn read(
        file: &dyn Source,
        path: &str,
        header: &Header,
        texts: &BTreeMap<String, Vec<u8>>,
    ) -> Result<Self> {
        let mut all = Self::default();
        let text = |part: Part| texts.get(part.config()).map(|text| String::from_utf8_lossy(text));
        // What cannot be read is refused later, with its reason.
        let vae = text(Part::Vae).and_then(|text| VaeConfig::from_json(&text, "").ok());
        let schedule = text(Part::Scheduler).and_then(|text| SchedulerConfig::from_json(&text, "").ok());
        if let (Some(vae), [factor]) = (vae, values(file, path, header, "scale_factor").await?.as_slice()) {
            all.notes.extend(other_factor(*factor, vae.scaling_factor));
        }
        if let Some(schedule) = schedule {
            let used = NoiseSchedule::new(&schedule);
            let mut key = "alphas_cumprod";
            let mut own = values(file, path, header, key).await?;
            if own.is_empty() {
                key = "betas";
                own = cumulated(&values(file, path, header, key).await?);
            }
            all.compare(key, &own, used.alphas_cumprod());
        }
        Ok(all)
    }

    /// What a file has of a noise schedule, against the one that is used.
    fn compare(&mut self, key: &str, own: &[f64], used: &[f32]) {
        /// What half precision cannot make of the same schedule.
        const DIFFERENCE: f64 = 0.01;
        /// Less than this of the signal is left by no schedule but one of zero terminal SNR.
        const NOTHING: f64 = 1e-6;
        let (Some(last), Some(least)) = (own.last().copied(), used.last().copied().map(f64::from)) else { return };
        // Damaged numbers that nobody needs are no schedule.
        if own.windows(2).any(|pair| pair[1] > pair[0])
            || !own.iter().all(|value| (0.0..=1.0).contains(value))
            || own[0] < 0.5
        {
            return;
        }
        if last < NOTHING && least >= NOTHING {
            self.zero_snr =
                Some(format!("the noise schedule among its weights ({key}), which leaves no signal at last,"));
            return;
        }
        let differs = |(own, used): (&f64, &f32)| (own - f64::from(*used)).abs() > DIFFERENCE;
        if own.len() != used.len() || own.iter().zip(used).any(differs) {
            self.notes.push(format!(
                "the noise schedule among its weights ({key}) is another than the one that is used, and is not used"
            ));
        }
    }
}

fn other_factor(factor: f64, used: f64) -> Option<String> {
    // In half precision the same number is a little different; what is no such factor at all is damage.
    let differs = (factor / used - 1.0).abs() > 0.01 && (1e-3..1e3).contains(&factor);
    let rounded = (factor * 1e5).round() / 1e5;
    differs.then(|| {
        format!("it has scale_factor {rounded} among its weights, which is not used: the autoencoder's is {used}")
    })
}

/// What is left of the signal after each of these.
fn cumulated(betas: &[f64]) -> Vec<f64> {
    let left = |left: &mut f64, beta: &f64| {
        *left *= 1.0 - beta;
        Some(*left)
    };
    betas.iter().scan(1.0, left).collect()
}

/// The values of a small tensor of floats; none if there is no such tensor.
async fn values(file: &dyn Source, path: &str, header: &Header, name: &str) -> Result<Vec<f64>> {
    const LONGEST: u64 = 1 << 20;
    let Some(entry) = header.get(name).filter(|entry| entry.offsets[1] - entry.offsets[0] <= LONGEST) else {
        return Ok(Vec::new());
    };
    let bytes = file.read(path, header.span(entry)).await?;
    Ok(match entry.dtype.as_str() {
        "F16" => bytes.as_chunks().0.iter().map(|value| f16::from_le_bytes(*value).to_f64()).collect(),
        "BF16" => bytes.as_chunks().0.iter().map(|value| bf16::from_le_bytes(*value).to_f64()).collect(),
        "F32" => bytes.as_chunks().0.iter().map(|value| f64::from(f32::from_le_bytes(*value))).collect(),
        "F64" => bytes.as_chunks().0.iter().map(|value| f64::from_le_bytes(*value)).collect(),
        _ => Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_numbers_in_half_precision_are_not_worth_a_word() {
        let config = r#"{"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}"#;
        let used = NoiseSchedule::new(&SchedulerConfig::from_json(config, "").expect("readable"));
        let used = used.alphas_cumprod();
        let compared = |own: Vec<f64>| {
            let mut numbers = Numbers::default();
            numbers.compare("alphas_cumprod", &own, used);
            (numbers.notes.len(), numbers.zero_snr.is_some())
        };
        let same = || used.iter().map(|value| f64::from(*value));
        assert_eq!(compared(same().collect()), (0, false));
        assert_eq!(compared(same().map(|value| bf16::from_f64(value).to_f64()).collect()), (0, false));
        assert_eq!(compared(vec![f64::NAN; 1000]), (0, false));
        assert_eq!(compared(same().take(500).collect()), (1, false));
        assert_eq!(compared(same().map(|value| (value - 0.0047).max(0.0)).collect()), (0, true));
        let linear: Vec<f64> = (0..1000).map(|step| 0.0001 + 0.0199 * f64::from(step) / 999.0).collect();
        // That of the first diffusion models leaves little, but not nothing.
        assert_eq!(compared(cumulated(&linear)), (1, false));
        assert_eq!(
            [0.18215, 0.1822, 0.18164, f64::NAN, 0.0].map(|factor| other_factor(factor, 0.18215)),
            [const { None }; 5]
        );
        assert!(other_factor(f64::from(0.13025_f32), 0.18215).expect("another").contains("scale_factor 0.13025 "));
    }
}
