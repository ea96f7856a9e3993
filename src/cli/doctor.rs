//! `pseudoword doctor`: what this machine offers, what would be used, and whether it computes correctly.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::{Value, json};

use super::args::{DoctorArgs, Shared};
use super::kernels;
use super::locate;
use super::output::Output;
use super::wording;
use crate::base::bytes::size;
use crate::event::{Event, WarningCode};
use crate::gpu::tuning::{self, Tuning};
use crate::gpu::{self, Adapter, Chosen, precision};
use crate::{Error, Result, ops};

/// Features of an adapter that the engine can make use of.
const FEATURES: [(&str, wgpu::Features); 3] = [
    ("shader-f16", wgpu::Features::SHADER_F16),
    ("timestamp-query", wgpu::Features::TIMESTAMP_QUERY),
    ("subgroup", wgpu::Features::SUBGROUP),
];

/// Reports on this machine or, if that is what is wanted, writes the kernels.
pub(super) async fn run(args: &DoctorArgs, shared: &Shared, out: &mut Output) -> Result<()> {
    if let Some(folder) = &args.kernels {
        return kernels::run(folder, out);
    }
    let adapters = gpu::adapters();
    let mut lines = vec![format!(
        "pseudoword {} on {} {}",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH
    )];
    lines.push(format!("processor: {}", gpu::processor_name()));
    if adapters.is_empty() {
        lines.push("graphics: no adapter was found".to_owned());
    }
    lines.extend(adapters.iter().enumerate().flat_map(|(number, adapter)| describe(number, adapter)));

    let chosen = gpu::choose(shared.device);
    let mut object = machine();
    // What was insisted on and cannot be had is no success.
    let mut refused = Ok(());
    let ended = match &chosen {
        Ok(chosen) => {
            let reason = wording::worded(&chosen.reason);
            lines.push(format!("would use: {}: {} ({reason})", chosen.kind, chosen.name));
            object["chosen"] = chosen_json(chosen);
            let tested = self_test(chosen);
            // A device that computes wrong values needs no tuning.
            if tested.is_ok() {
                let tuning = tuning::tune(chosen, locate::cache().as_deref(), args.retune).await;
                if let Some(tuning) = &tuning {
                    lines.push(format!("matrix products: {}", wording::worded(&tuning.sentence())));
                    object["products"] = products(tuning);
                }
                let decided = precision::decide(chosen, &locate::findings(), shared.precision, args.retune).await;
                lines.extend(precision_lines(&decided));
                object["precision"] = match &decided {
                    Ok(decision) => precision_json(decision.as_ref()),
                    Err(error) => json!({"error": wording::of_error(error)}),
                };
                if args.retune && !was_retuned(tuning.as_ref(), &decided) {
                    let text = format!("--retune has no effect: nothing is benchmarked or tested on {}", chosen.name);
                    out.event(&Event::warning(WarningCode::NoEffect, text))?;
                }
                refused = decided.map(drop);
            }
            lines.push(match &tested {
                Ok(error) => format!("self-test: passed (largest difference from a plain computation {error:.1e})"),
                Err(error) => format!("self-test: FAILED: {}", wording::of_error(error)),
            });
            object["self_test"] = tested_json(&tested);
            tested.map(drop)
        }
        Err(error) => {
            lines.push(format!("would use: nothing: {}", wording::of_error(error)));
            Ok(())
        }
    };
    out.result(&lines, &object)?;
    chosen?;
    ended.and(refused)
}

/// Whether anything was benchmarked or tested, given that this was to be done again.
fn was_retuned(tuning: Option<&Tuning>, decided: &Result<Option<precision::Decision>>) -> bool {
    let measured = matches!(tuning, Some(Tuning::Measured { .. } | Tuning::Failed(_)));
    let tested = match decided {
        Ok(decision) => decision.as_ref().is_some_and(|decision| !decision.findings.ways.is_empty()),
        Err(_) => true,
    };
    measured || tested
}

/// What there is on this machine, for programs.
pub(super) fn machine() -> Value {
    json!({
        "event": "doctor", "version": env!("CARGO_PKG_VERSION"), "os": std::env::consts::OS,
        "arch": std::env::consts::ARCH, "processor": gpu::processor_name(),
        "adapters": gpu::adapters().iter().map(adapter_json).collect::<Vec<_>>(),
    })
}

/// What would be used, for programs.
pub(super) fn chosen_json(chosen: &Chosen) -> Value {
    json!({"kind": chosen.kind, "name": chosen.name, "reason": wording::worded(&chosen.reason)})
}

/// How a self-test ended, for programs.
pub(super) fn tested_json(tested: &Result<f64>) -> Value {
    match tested {
        Ok(error) => json!({"passed": true, "error": error}),
        Err(error) => json!({"passed": false, "reason": wording::of_error(error)}),
    }
}

/// The lines about an adapter.
fn describe(number: usize, adapter: &Adapter) -> Vec<String> {
    let Adapter { info, limits, features, lacking, .. } = adapter;
    let matrices = matrices(adapter);
    let address = adapter.address().map_or_else(String::new, |address| format!(", or gpu:{address}"));
    let driver = [info.driver.as_str(), info.driver_info.as_str()].join(" ");
    let offered = FEATURES
        .iter()
        .map(|(name, feature)| if features.contains(*feature) { (*name).to_owned() } else { format!("no {name}") });
    vec![
        format!("graphics: {} ({}, {:?}, driver {})", info.name, adapter.type_name(), info.backend, driver.trim()),
        format!("  chosen by: --device gpu:{number}{address}"),
        format!("  features: {}", offered.collect::<Vec<_>>().join(", ")),
        format!(
            "  limits: buffers {}, bindings {}, {} storage buffers, {} and {} invocations a workgroup, subgroups of {} to {}",
            size(limits.max_buffer_size),
            size(limits.max_storage_buffer_binding_size),
            limits.max_storage_buffers_per_shader_stage,
            size(limits.max_compute_workgroup_storage_size.into()),
            limits.max_compute_invocations_per_workgroup,
            info.subgroup_min_size,
            info.subgroup_max_size,
        ),
        format!(
            "  cooperative matrices: {}",
            if matrices.is_empty() { "none".to_owned() } else { matrices.join(", ") }
        ),
        match lacking {
            Some(missing) => format!("  cannot run the engine: {missing}"),
            None => "  can run the engine".to_owned(),
        },
    ]
}

/// The shapes of an adapter's cooperative matrices.
fn matrices(adapter: &Adapter) -> Vec<String> {
    let shape = |listed: &wgpu::CooperativeMatrixProperties| {
        let wgpu::CooperativeMatrixProperties { m_size, n_size, k_size, ab_type, cr_type, .. } = listed;
        format!("{m_size}x{n_size}x{k_size} {ab_type:?} to {cr_type:?}")
    };
    adapter.matrices.iter().map(shape).collect()
}

fn adapter_json(adapter: &Adapter) -> Value {
    let Adapter { info, limits, features, lacking, .. } = adapter;
    let features: Vec<&str> =
        FEATURES.iter().filter(|(_, feature)| features.contains(*feature)).map(|(name, _)| *name).collect();
    json!({
        "name": info.name, "type": adapter.type_name(), "backend": format!("{:?}", info.backend), "driver": info.driver,
        "driver_info": info.driver_info, "pci_address": adapter.address().map(|address| address.to_string()),
        "features": features, "lacking": lacking,
        "max_buffer_size": limits.max_buffer_size,
        "max_storage_buffer_binding_size": limits.max_storage_buffer_binding_size,
        "max_storage_buffers_per_shader_stage": limits.max_storage_buffers_per_shader_stage,
        "max_compute_workgroup_storage_size": limits.max_compute_workgroup_storage_size,
        "max_compute_invocations_per_workgroup": limits.max_compute_invocations_per_workgroup,
        "subgroups": [info.subgroup_min_size, info.subgroup_max_size], "cooperative_matrices": matrices(adapter),
    })
}

/// In which precision products are made, and how each way in f16 did.
fn precision_lines(decided: &Result<Option<precision::Decision>>) -> Vec<String> {
    let decision = match decided {
        Ok(Some(decision)) => decision,
        Ok(None) => return Vec::new(),
        Err(error) => return vec![format!("precision: {}", wording::of_error(error))],
    };
    let way = |verdict: &precision::Verdict| {
        let time = verdict.seconds.map_or_else(|| "not timed".to_owned(), |seconds| format!("{:.2} ms", 1e3 * seconds));
        format!(
            "  {}: {}",
            verdict.way,
            verdict.wrong.clone().unwrap_or_else(|| format!("passed the self-test, {time}"))
        )
    };
    let full = decision.findings.full.map(|seconds| format!("  f32: {:.2} ms", 1e3 * seconds));
    let first = format!("precision: {}", wording::worded(&decision.sentence()));
    [first].into_iter().chain(decision.findings.ways.iter().map(way)).chain(full).collect()
}

/// In which precision products are made, and how each way in f16 did, for programs; null where there is nothing to decide.
pub(super) fn precision_json(decision: Option<&precision::Decision>) -> Value {
    decision.map_or(Value::Null, |decision| {
        json!({
            "precision": decision.precision(), "way": decision.used.map(ops::HalfMethod::name),
            "why": wording::worded(&decision.why), "findings": decision.findings,
        })
    })
}

/// How products are made, for programs.
fn products(tuning: &Tuning) -> Value {
    let tiles = tuning.tiles().map(|tiles| tiles.names().into_iter().collect::<BTreeMap<_, _>>());
    json!({"how": tuning.how(), "tiles": tiles})
}

/// Runs the engine's ops on the device and compares them with loops on the host.
///
/// # Errors
/// [`Error::Gpu`] if the device fails or is wrong.
pub(super) fn self_test(chosen: &Chosen) -> Result<f64> {
    // Drivers that fail make the runtime below panic; here that is a finding.
    let test = async || {
        let worst = ops::self_test(&chosen.device).await?;
        Ok(worst.max(ops::self_test_in_eight_bits(&chosen.device).await?))
    };
    let tested = catch_unwind(AssertUnwindSafe(|| pollster::block_on(test())));
    tested.unwrap_or_else(|_| {
        Err(Error::Gpu { during: "the self-test".to_owned(), reason: "the runtime panicked".to_owned() })
    })
}
