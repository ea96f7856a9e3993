//! The configuration files that a checkpoint in one file comes without: those of the models that the families are named
//! after, as far as they decide the computation.
//!
//! Values: `runwayml/stable-diffusion-v1-5`, `stabilityai/stable-diffusion-2-1` and
//! `stabilityai/stable-diffusion-xl-base-1.0`, from which diffusers' `from_single_file` takes them, too.

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
    let mut files = match family {
        Family::Sd1 => vec![(Part::TextEncoder.config(), clip_l())],
        Family::Sd2 => vec![(Part::TextEncoder.config(), open_clip_h())],
        Family::Sdxl => vec![
            (Part::TextEncoder.config(), clip_l()),
            (Part::TextEncoder2.config(), open_clip_g()),
            (Part::MODEL_INDEX, json!({"force_zeros_for_empty_prompt": true})),
        ],
        Family::Other(_) => return None,
    };
    let usual = match (family, prediction) {
        (Family::Sdxl, _) => 1024,
        // Of 2.x the models that predict the velocity were trained on pictures of 768 pixels, the others on 512.
        (Family::Sd2, PredictionType::VPrediction) => 768,
        _ => 512,
    };
    let vae = json!({
        "in_channels": 3, "out_channels": 3, "latent_channels": 4, "block_out_channels": [128, 256, 512, 512],
        "layers_per_block": 2, "norm_num_groups": 32, "act_fn": "silu", "sample_size": usual,
        "scaling_factor": if family == Family::Sdxl { 0.13025 } else { 0.18215 },
        "down_block_types": vec!["DownEncoderBlock2D"; 4], "up_block_types": vec!["UpDecoderBlock2D"; 4],
    });
    files.push((Part::Unet.config(), unet(family, side.unwrap_or(usual) / 8)));
    files.push((Part::Vae.config(), vae));
    files.push((Part::Scheduler.config(), scheduler(family, prediction)));
    Some(files.into_iter().map(|(path, fields)| (path, fields.to_string())).collect())
}

/// OpenAI's CLIP ViT-L/14.
fn clip_l() -> Value {
    json!({
        "vocab_size": 49408, "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
        "num_attention_heads": 12, "max_position_embeddings": 77, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5,
        "projection_dim": 768, "eos_token_id": 2,
    })
}

/// OpenCLIP ViT-H/14 without its last layer.
fn open_clip_h() -> Value {
    json!({
        "vocab_size": 49408, "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 23,
        "num_attention_heads": 16, "max_position_embeddings": 77, "hidden_act": "gelu", "layer_norm_eps": 1e-5,
    })
}

/// OpenCLIP ViT-bigG/14.
fn open_clip_g() -> Value {
    json!({
        "vocab_size": 49408, "hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32,
        "num_attention_heads": 20, "max_position_embeddings": 77, "hidden_act": "gelu", "layer_norm_eps": 1e-5,
        "projection_dim": 1280, "eos_token_id": 2,
    })
}

/// `side` is that of the latents.
fn unet(family: Family, side: u64) -> Value {
    let own = match family {
        Family::Sdxl => json!({
            "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
            "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
            "block_out_channels": [320, 640, 1280], "cross_attention_dim": 2048, "attention_head_dim": [5, 10, 20],
            "transformer_layers_per_block": [1, 2, 10], "use_linear_projection": true, "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256, "projection_class_embeddings_input_dim": 2816,
        }),
        _ => json!({
            "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
            "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
            "block_out_channels": [320, 640, 1280, 1280],
            "cross_attention_dim": if family == Family::Sd2 { 1024 } else { 768 },
            "attention_head_dim": if family == Family::Sd2 { json!([5, 10, 20, 20]) } else { json!(8) },
            "use_linear_projection": family == Family::Sd2,
        }),
    };
    let fields = json!({
        "sample_size": side, "in_channels": 4, "out_channels": 4, "layers_per_block": 2, "norm_num_groups": 32,
        "norm_eps": 1e-5, "act_fn": "silu", "downsample_padding": 1, "flip_sin_to_cos": true, "freq_shift": 0,
    });
    with_fields(fields, own)
}

fn scheduler(family: Family, prediction: PredictionType) -> Value {
    let own = match family {
        Family::Sdxl => json!({"_class_name": "EulerDiscreteScheduler", "timestep_spacing": "leading"}),
        Family::Sd2 => json!({"_class_name": "DDIMScheduler"}),
        _ => json!({"_class_name": "PNDMScheduler"}),
    };
    let fields = json!({
        "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000,
        "set_alpha_to_one": false, "skip_prk_steps": true, "steps_offset": 1, "clip_sample": false,
        "prediction_type": prediction_name(prediction),
    });
    with_fields(fields, own)
}

/// An object with the fields of another, which count where both have them.
fn with_fields(object: Value, others: Value) -> Value {
    match (object, others) {
        (Value::Object(mut fields), Value::Object(others)) => {
            fields.extend(others);
            Value::Object(fields)
        }
        (object, _) => object,
    }
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
    Some(with_fields(serde_json::from_slice(text).ok()?, narrow).to_string())
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
    with(text, json!({"prediction_type": prediction_name(prediction)}))
}

/// One that asks for zero terminal SNR, and with `trailing` for samplers that begin where that is: leading timesteps leave
/// out the last ones (arXiv 2305.08891).
pub(super) fn with_zero_snr(text: &str, trailing: bool) -> String {
    let asks = json!({"rescale_betas_zero_snr": true});
    with(text, if trailing { with_fields(asks, json!({"timestep_spacing": "trailing"})) } else { asks })
}

fn with(text: &str, others: Value) -> String {
    match serde_json::from_str::<Value>(&standard(text)) {
        Ok(fields @ Value::Object(_)) => with_fields(fields, others).to_string(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ModelConfig;
    use crate::parts::Architecture;
    use crate::source::Memory;

    #[test]
    fn the_built_in_files_are_those_of_models_that_can_be_run() {
        for (family, prediction, side, width, factor) in [
            (Family::Sd1, PredictionType::Epsilon, 512, 768, 0.18215),
            (Family::Sd2, PredictionType::VPrediction, 768, 1024, 0.18215),
            (Family::Sd2, PredictionType::Epsilon, 512, 1024, 0.18215),
            (Family::Sdxl, PredictionType::Epsilon, 1024, 2048, 0.13025),
            (Family::Sdxl, PredictionType::VPrediction, 1024, 2048, 0.13025),
        ] {
            let mut memory = Memory::new("m");
            for (path, text) in files(family, prediction, None).unwrap() {
                memory.insert(path, text.into_bytes());
            }
            let config = pollster::block_on(ModelConfig::read(&memory)).unwrap();
            assert_eq!((config.resolution(), config.word_width()), (side, width));
            assert_eq!((config.architecture, config.force_zeros), (family.architecture(), family == Family::Sdxl));
            assert_eq!(config.scheduler.prediction_type, prediction);
            assert_eq!(config.vae.scaling_factor, factor);
        }
        let other = |architecture| files(Family::Other(architecture), PredictionType::Epsilon, None);
        assert!(other(Architecture::Sd).is_none() && other(Architecture::Sdxl).is_none());
    }

    #[test]
    fn what_is_predicted_can_be_said() {
        let text = with_prediction(r#"{"beta_end": 0.02}"#, PredictionType::VPrediction);
        assert!(text.contains(r#""prediction_type":"v_prediction""#) && text.contains("0.02"), "{text}");
        assert_eq!(with_prediction("{", PredictionType::Epsilon), "{");
        let text = with_zero_snr(r#"{"timestep_spacing": "leading"}"#, true);
        assert!(text.contains("trailing") && without_zero_snr(&text).is_some(), "{text}");
        assert!(with_zero_snr(r#"{"timestep_spacing": "leading"}"#, false).contains("leading"));
        // As Python writes DPM-Solver's.
        let text = with_prediction(r#"{"lambda_min_clipped": -Infinity}"#, PredictionType::VPrediction);
        assert!(text.contains("v_prediction"), "{text}");
    }
}
