//! `pseudoword bench --host`: what steps cost the host, on a device that computes nothing.

use serde_json::json;

use super::args::{BenchArgs, Shared};
use super::bench::{launched, model, no_device, planned};
use super::load;
use super::outlook::Outlook;
use super::output::Output;
use crate::base::process::load_average;
use crate::bench::{Bench, Effort};
use crate::config::option_name;
use crate::gpu::{Precision, noop};
use crate::model::{Loading, OpenedModel};
use crate::ops::{HalfProducts, choose_half_products};
use crate::sample::SOFTWARE;
use crate::session::Session;
use crate::{Error, Result};

/// Measures the steps of a model.
pub(super) async fn run(args: &BenchArgs, shared: &Shared, out: &mut Output) -> Result<()> {
    no_device(shared, "--host", "measures on a device of its own that computes nothing")?;
    let (source, model) = model(args, shared, out).await?;
    let load = load_average();
    let opened = OpenedModel::read(source).await?;
    let chosen = noop::start()?;
    // It has no cooperative matrices, with which as much is launched.
    let half = (shared.precision == Precision::F16).then_some(HalfProducts::Strips);
    choose_half_products(&chosen.device, half.map(Into::into));
    let planned = planned(args);
    let storage = load::planned(&Outlook::new(shared, &chosen, &planned), &opened, out).await.map_err(explained)?;
    let loading = Loading { storage: Some(storage), ..Loading::default() };
    let session = Session::of(&opened, &chosen.device, loading, &mut |_| ()).await?;
    let bench = Bench {
        device: chosen.device.clone(),
        side: args.resolution.unwrap_or_else(|| session.model().config.resolution()),
        checkpointing: args.checkpointing,
        effort: Effort { repetitions: 1, seconds: args.seconds },
        memory: None,
        session,
    };
    let mut object = json!({
        "event": "host", "engine": SOFTWARE, "model": model.name, "side": bench.side, "load_1m": load,
        "checkpointing": option_name(&bench.checkpointing), "precision": if half.is_some() { "f16" } else { "f32" },
    });
    let products = if half.is_some() { ", products in f16" } else { "" };
    let (name, side) = (&chosen.name, bench.side);
    out.line(&format!("{SOFTWARE}: {name}, {}, {side} x {side} pixels{products}", model.name))?;
    launched(&bench.denoising_launches().await?, "denoising step (guided)", &mut object["denoise_step"], true, out)?;
    let mut batches = args.batch.clone();
    batches.sort_unstable();
    batches.dedup();
    for batch in batches {
        let step = bench.training_launches(batch).await?;
        let place = &mut object["train_step"][batch.to_string()];
        launched(&step, &format!("training step, batch {batch}"), place, true, out)?;
    }
    out.result(&super::bench::busy(load), &object)
}

/// Says whose memory is too little: the plan is that of a GPU.
fn explained(error: Error) -> Error {
    match error {
        Error::TooLittleMemory { need, have, advice } => {
            let have = format!("{have} here, where the device that computes nothing keeps all of it");
            Error::TooLittleMemory { need, have, advice }
        }
        other => other,
    }
}
