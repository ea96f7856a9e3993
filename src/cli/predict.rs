//! `pseudoword bench --predict`: what steps take at the peak of GPUs that people have.

use serde_json::{Value, json};

use super::args::{BenchArgs, Shared, WeightStorage};
use super::bench::{left_out, no_device, no_precision};
use super::output::Output;
use crate::Result;
use crate::bench::{GPUS, KnownGpu, Products, Rates, Row, Step, sizes, steps};
use crate::checkpoint::Family;
use crate::config::TrainConfig;
use crate::model::ModelConfig;

/// A model at a size.
struct Predicted {
    model: String,
    side: u32,
    steps: Vec<Step>,
}

/// Prints the tables.
pub(super) async fn run(args: &BenchArgs, shared: &Shared, out: &mut Output) -> Result<()> {
    let reason = "measures nothing and has both precisions";
    no_device(shared, "--predict", reason)?;
    no_precision(shared, "--predict", reason)?;
    left_out("--weights", shared.weights != WeightStorage::default(), "--predict", "has them in f16")?;
    let models = models(args, shared, out).await?;
    let mut lines = vec![
        "launches, and milliseconds at a device's peak: products in f32 / with factors in f16 and, where there are any, \
         cooperative matrices, but for the autoencoder; a third of the peak is good"
            .to_owned(),
    ];
    for model in &models {
        lines.push(String::new());
        lines.push(format!("{}, {} x {} pixels, weights in f16", model.model, model.side, model.side));
        for step in &model.steps {
            lines.push(head(&step.name));
            lines.extend(step.rows.iter().filter(|row| row.launches() > 0).map(line));
            lines.push(line(&step.whole()));
        }
    }
    let rates = GPUS.map(|gpu| (gpu.name, gpu.rates));
    let object = json!({
        "event": "prediction", "devices": GPUS.map(KnownGpu::to_json),
        "models": models.iter().map(|model| model.to_json(&rates)).collect::<Vec<_>>(),
    });
    out.result(&lines, &object)
}

/// The model that is named, or the two that people have most.
async fn models(args: &BenchArgs, shared: &Shared, out: &mut Output) -> Result<Vec<Predicted>> {
    let mut batches = args.batch.clone();
    batches.sort_unstable();
    batches.dedup();
    let predicted = |model: &str, config: &ModelConfig| -> Result<Predicted> {
        let side = args.resolution.unwrap_or_else(|| config.resolution());
        let settings = TrainConfig { resolution: Some(side), ..TrainConfig::default() };
        crate::train::check_side(&settings, config)?;
        let steps = steps(config, side, &batches, args.checkpointing);
        Ok(Predicted { model: model.to_owned(), side, steps })
    };
    if shared.model.is_some() || args.random.is_some() {
        let (source, model) = super::bench::model(args, shared, out).await?;
        return Ok(vec![predicted(&model.name, &ModelConfig::read(&*source).await?)?]);
    }
    Ok(vec![
        predicted("Stable Diffusion 1.5's sizes", &sizes(Family::Sd1)?)?,
        predicted("SDXL's sizes", &sizes(Family::Sdxl)?)?,
    ])
}

impl Predicted {
    fn to_json(&self, gpus: &[(&str, Rates)]) -> Value {
        let steps: Vec<Value> = self.steps.iter().map(|step| step.to_json(gpus)).collect();
        json!({"model": self.model, "side": self.side, "steps": steps})
    }
}

fn head(step: &str) -> String {
    let gpus = GPUS.map(|gpu| format!("{:>16}", gpu.name)).concat();
    format!("{step:40}{:>8}{:>7}{:>10}{gpus}", "GFLOP", "GB", "launches")
}

fn line(row: &Row) -> String {
    let gpus = GPUS.map(|gpu| {
        let times = [Products::F32, Products::F16].map(|products| milliseconds(row.seconds(&gpu.rates, products)));
        format!("{:>16}", times.join(" / "))
    });
    let (name, launches) = (row.name, row.launches());
    format!("  {name:38}{:>8.0}{:>7.2}{launches:>10}{}", row.gflop(), row.gigabytes(), gpus.concat())
}

/// Three digits.
fn milliseconds(seconds: f64) -> String {
    let milliseconds = 1000.0 * seconds;
    let places = if milliseconds < 10.0 {
        2
    } else if milliseconds < 100.0 {
        1
    } else {
        0
    };
    format!("{milliseconds:.places$}")
}
