//! The configuration files that a checkpoint in one file comes without: those of the models that the families are named
//! after, as far as they decide the computation.
//!
//! Values: `runwayml/stable-diffusion-v1-5` and `stabilityai/stable-diffusion-2-1`, from which diffusers'
//! `from_single_file` takes them, too.

use serde_json::{Value, json};

use super::recognise::Family;
use crate::base::json::standard;
use crate::parts::Part;
use crate::schedule::PredictionType;

/// The files of a family, by their paths; none for a family whose sizes are not known. `side` is that of the pictures in
/// pixels, where the file says it.
pub(super) fn files(
    family: Family,
    prediction: PredictionType,
    side: Option<u64>,
) -> Option<Vec<(&'static str, String)>> {
    let sd2 = match family {
        Family::Sd1 => false,
        Family::Sd2 => true,
        Family::Other => return None,
    };
    let text = if sd2 {
        json!({
            "vocab_size": 49408, "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 23,
            "num_attention_heads": 16, "max_position_embeddings": 77, "hidden_act": "gelu", "layer_norm_eps": 1e-5,
        })
    } else {
        json!({
            "vocab_size": 49408, "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
            "num_attention_heads": 12, "max_position_embeddings": 77, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5,
        })
    };
    // Of 2.x the models that predict the velocity were trained on pictures of 768 pixels, the others on 512.
    let usual = if sd2 && prediction == PredictionType::VPrediction { 96 } else { 64 };
    let side = side.map_or(usual, |pixels| pixels / 8);
    let unet = json!({
        "sample_size": side, "in_channels": 4, "out_channels": 4,
        "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
        "block_out_channels": [320, 640, 1280, 1280], "layers_per_block": 2,
        "cross_attention_dim": if sd2 { 1024 } else { 768 },
        "attention_head_dim": if sd2 { json!([5, 10, 20, 20]) } else { json!(8) },
        "use_linear_projection": sd2, "norm_num_groups": 32, "norm_eps": 1e-5, "act_fn": "silu",
        "downsample_padding": 1, "flip_sin_to_cos": true, "freq_shift": 0,
    });
    let vae = json!({
        "in_channels": 3, "out_channels": 3, "latent_channels": 4, "block_out_channels": [128, 256, 512, 512],
        "layers_per_block": 2, "norm_num_groups": 32, "act_fn": "silu", "scaling_factor": 0.18215, "sample_size": 512,
        "down_block_types": vec!["DownEncoderBlock2D"; 4], "up_block_types": vec!["UpDecoderBlock2D"; 4],
    });
    let scheduler = json!({
        "_class_name": if sd2 { "DDIMScheduler" } else { "PNDMScheduler" },
        "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000,
        "set_alpha_to_one": false, "skip_prk_steps": true, "steps_offset": 1, "clip_sample": false,
        "prediction_type": prediction_name(prediction),
    });
    Some(vec![
        (Part::TextEncoder.config(), text.to_string()),
        (Part::Unet.config(), unet.to_string()),
        (Part::Vae.config(), vae.to_string()),
        (Part::Scheduler.config(), scheduler.to_string()),
    ])
}

/// A configuration of Stable Diffusion 1.5 for a model that is an eighth as wide; none for other files.
pub(super) fn narrowed(path: &str, text: &[u8]) -> Option<String> {
    let narrow = if path == Part::TextEncoder.config() {
        json!({ "hidden_size": 64, "intermediate_size": 256, "num_attention_heads": 1 })
    } else if path == Part::Unet.config() {
        json!({
            "sample_size": 8, "block_out_channels": [40, 80, 160, 160], "cross_attention_dim": 64,
            "attention_head_dim": 1, "norm_num_groups": 8,
        })
    } else if path == Part::Vae.config() {
        json!({ "block_out_channels": [16, 32, 64, 64], "norm_num_groups": 4, "sample_size": 64 })
    } else {
        return None;
    };
    let (Value::Object(mut fields), Value::Object(narrow)) = (serde_json::from_slice(text).ok()?, narrow) else {
        return None;
    };
    fields.extend(narrow);
    Some(Value::Object(fields).to_string())
}

fn prediction_name(prediction: PredictionType) -> &'static str {
    match prediction {
        PredictionType::Epsilon => "epsilon",
        PredictionType::VPrediction => "v_prediction",
    }
}

/// Pixels on a side for one latent, by an autoencoder's configuration: each level but the last halves the sides.
pub(super) fn pixels_per_latent(text: &str) -> Option<u64> {
    let fields: Value = serde_json::from_str(&standard(text)).ok()?;
    let levels = fields.get("block_out_channels")?.as_array()?.len();
    1_u64.checked_shl(levels.checked_sub(1)?.try_into().ok()?)
}

/// What a `scheduler_config.json` says that is predicted, if it says it.
pub(super) fn prediction_of(text: &str) -> Option<PredictionType> {
    let fields: Value = serde_json::from_str(&standard(text)).ok()?;
    serde_json::from_value(fields.get("prediction_type")?.clone()).ok()
}

/// A `scheduler_config.json` without its asking for zero terminal SNR; none if it does not ask.
pub(super) fn without_zero_snr(text: &str) -> Option<String> {
    let mut fields: Value = serde_json::from_str(&standard(text)).ok()?;
    let asks = fields.as_object_mut()?.remove("rescale_betas_zero_snr")?;
    (asks == Value::Bool(true)).then(|| fields.to_string())
}

/// A `scheduler_config.json` that says what is predicted; as it is if it is not an object.
pub(super) fn with_prediction(text: &str, prediction: PredictionType) -> String {
    match serde_json::from_str::<Value>(&standard(text)) {
        Ok(Value::Object(mut map)) => {
            map.insert("prediction_type".to_owned(), prediction_name(prediction).into());
            Value::Object(map).to_string()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ModelConfig;
    use crate::source::Memory;

    #[test]
    fn the_built_in_files_are_those_of_models_that_can_be_run() {
        for (family, prediction, side, width) in [
            (Family::Sd1, PredictionType::Epsilon, 512, 768),
            (Family::Sd2, PredictionType::VPrediction, 768, 1024),
            (Family::Sd2, PredictionType::Epsilon, 512, 1024),
        ] {
            let mut memory = Memory::new("m");
            for (path, text) in files(family, prediction, None).unwrap() {
                memory.insert(path, text.into_bytes());
            }
            let config = pollster::block_on(ModelConfig::read(&memory)).unwrap();
            assert_eq!((config.resolution(), config.word_width()), (side, width));
            assert_eq!(config.scheduler.prediction_type, prediction);
            assert_eq!(config.vae.scaling_factor, 0.18215);
        }
        assert!(files(Family::Other, PredictionType::Epsilon, None).is_none());
    }

    #[test]
    fn what_is_predicted_can_be_said() {
        let text = with_prediction(r#"{"beta_end": 0.02}"#, PredictionType::VPrediction);
        assert!(text.contains(r#""prediction_type":"v_prediction""#) && text.contains("0.02"), "{text}");
        assert_eq!(with_prediction("{", PredictionType::Epsilon), "{");
        // As Python writes DPM-Solver's.
        let text = with_prediction(r#"{"lambda_min_clipped": -Infinity}"#, PredictionType::VPrediction);
        assert!(text.contains("v_prediction"), "{text}");
    }
}
