//! `pseudoword doctor`: what this machine offers, what would be used, and whether it computes correctly.

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::tensor::{Device, Tensor};
use serde_json::{Value, json};

use super::args::Shared;
use super::output::Output;
use crate::gpu::{self, Adapter, Chosen};
use crate::noise::{Noise, Stream};
use crate::ops::{Conv2d, Var, Weight, conv2d};
use crate::{Error, Result, platform};

/// Largest difference from the processor's result, relative to its largest value, that rounding explains.
const TOLERANCE: f32 = 1e-3;
/// Features of an adapter that the engine can make use of.
const FEATURES: [(&str, wgpu::Features); 3] = [
    ("shader-f16", wgpu::Features::SHADER_F16),
    ("timestamp-query", wgpu::Features::TIMESTAMP_QUERY),
    ("subgroup", wgpu::Features::SUBGROUP),
];

/// Reports.
pub(super) async fn run(shared: &Shared, out: &mut Output) -> Result<()> {
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
    lines.extend(adapters.iter().flat_map(describe));

    let chosen = gpu::choose(shared.device);
    let mut object = json!({
        "event": "doctor", "version": env!("CARGO_PKG_VERSION"), "os": std::env::consts::OS,
        "processor": gpu::processor_name(), "adapters": adapters.iter().map(adapter_json).collect::<Vec<_>>(),
    });
    let ended = match &chosen {
        Ok(chosen) => {
            lines.push(format!("would use: {}: {} ({})", chosen.kind, chosen.name, chosen.reason));
            object["chosen"] = json!({"kind": chosen.kind, "name": chosen.name, "reason": chosen.reason});
            let tested = self_test(chosen).await;
            lines.push(match &tested {
                Ok(error) => format!("self-test: passed (largest difference from a plain computation {error:.1e})"),
                Err(error) => format!("self-test: FAILED: {error}"),
            });
            object["self_test"] = match &tested {
                Ok(error) => json!({"passed": true, "error": error}),
                Err(error) => json!({"passed": false, "reason": error.to_string()}),
            };
            tested.map(drop)
        }
        Err(error) => {
            lines.push(format!("would use: nothing: {error}"));
            Ok(())
        }
    };
    out.result(&lines.join("\n"), &object)?;
    chosen?;
    ended
}

/// The lines about an adapter.
fn describe(adapter: &Adapter) -> Vec<String> {
    let Adapter { info, limits, features, lacking, .. } = adapter;
    let driver = [info.driver.as_str(), info.driver_info.as_str()].join(" ");
    let megabytes = |bytes: u64| format!("{} MiB", bytes >> 20);
    let offered = FEATURES.iter().map(|(name, feature)| match features.contains(*feature) {
        true => (*name).to_owned(),
        false => format!("no {name}"),
    });
    vec![
        format!("graphics: {} ({}, {:?}, driver {})", info.name, adapter.type_name(), info.backend, driver.trim()),
        format!("  features: {}", offered.collect::<Vec<_>>().join(", ")),
        format!(
            "  limits: buffers {}, bindings {}, {} storage buffers, {} KiB and {} invocations a workgroup, subgroups of {} to {}",
            megabytes(limits.max_buffer_size),
            megabytes(limits.max_storage_buffer_binding_size),
            limits.max_storage_buffers_per_shader_stage,
            limits.max_compute_workgroup_storage_size >> 10,
            limits.max_compute_invocations_per_workgroup,
            info.subgroup_min_size,
            info.subgroup_max_size,
        ),
        match lacking {
            Some(missing) => format!("  cannot run the engine: {missing}"),
            None => "  can run the engine".to_owned(),
        },
    ]
}

fn adapter_json(adapter: &Adapter) -> Value {
    let Adapter { info, limits, features, lacking, .. } = adapter;
    let features: Vec<&str> =
        FEATURES.iter().filter(|(_, feature)| features.contains(*feature)).map(|(name, _)| *name).collect();
    json!({
        "name": info.name, "type": adapter.type_name(), "backend": format!("{:?}", info.backend), "driver": info.driver,
        "driver_info": info.driver_info, "features": features, "lacking": lacking,
        "max_buffer_size": limits.max_buffer_size,
        "max_storage_buffer_binding_size": limits.max_storage_buffer_binding_size,
        "max_storage_buffers_per_shader_stage": limits.max_storage_buffers_per_shader_stage,
        "max_compute_workgroup_storage_size": limits.max_compute_workgroup_storage_size,
        "max_compute_invocations_per_workgroup": limits.max_compute_invocations_per_workgroup,
    })
}

/// Computes a matrix product and a convolution on the device and compares them with loops on the host.
///
/// # Errors
/// [`Error::Gpu`] if the device fails or is wrong.
async fn self_test(chosen: &Chosen) -> Result<f32> {
    let failed = |reason: String| Error::Gpu { during: "the self-test".to_owned(), reason };
    // Drivers that fail make the runtime below panic; here that is a finding.
    let started = catch_unwind(AssertUnwindSafe(|| {
        let product = product_on(&chosen.device);
        let convolved = convolution_on(&chosen.device);
        (product, convolved)
    }));
    let (product, convolved) = started.map_err(|_| failed("the runtime panicked".to_owned()))?;
    let product = difference(&platform::read(product).await?, &product_by_hand());
    let convolved = difference(&platform::read(convolved).await?, &convolution_by_hand());
    let worst = product.max(convolved);
    if worst > TOLERANCE || worst.is_nan() {
        return Err(failed(format!(
            "results are off by {worst:.1e} of their size: update the driver, or use --device cpu"
        )));
    }
    Ok(worst)
}

/// Rows and columns of the matrices, and side and channels of the picture, of the self-test.
const N: usize = 48;
const SIDE: usize = 12;
const CHANNELS: usize = 16;

fn numbers(which: u64, count: usize) -> Vec<f32> {
    Noise::new(which).draws(0, Stream::Latents).normals(count)
}

fn tensor<const D: usize>(which: u64, shape: [usize; D], device: &Device) -> Tensor<D> {
    let values = numbers(which, shape.iter().product());
    Tensor::<1>::from_floats(values.as_slice(), device).reshape(shape)
}

fn product_on(device: &Device) -> Tensor<2> {
    tensor(1, [N, N], device).matmul(tensor(2, [N, N], device))
}

fn product_by_hand() -> Vec<f32> {
    let (a, b) = (numbers(1, N * N), numbers(2, N * N));
    let at = |i: usize| (0..N).map(|k| a[i / N * N + k] * b[k * N + i % N]).sum();
    (0..N * N).map(at).collect()
}

fn convolution_on(device: &Device) -> Tensor<4> {
    let weight = Weight::new(tensor(4, [CHANNELS, 9 * CHANNELS], device));
    let layer = Conv2d { weight, bias: None, kernel: [3, 3], stride: 1, padding: [1; 4] };
    let picture = Var::constant(tensor(3, [1, SIDE, SIDE, CHANNELS], device));
    conv2d(&picture, &layer).into_value()
}

fn convolution_by_hand() -> Vec<f32> {
    let (picture, weight) = (numbers(3, SIDE * SIDE * CHANNELS), numbers(4, 9 * CHANNELS * CHANNELS));
    let at = |i: usize| {
        let (y, x, out) = (i / CHANNELS / SIDE, i / CHANNELS % SIDE, i % CHANNELS);
        let mut sum = 0.0;
        for tap in 0..9 {
            let (from_y, from_x) = (y + tap / 3, x + tap % 3);
            if !(1..=SIDE).contains(&from_y) || !(1..=SIDE).contains(&from_x) {
                continue;
            }
            let (pixel, row) = (((from_y - 1) * SIDE + from_x - 1) * CHANNELS, (out * 9 + tap) * CHANNELS);
            sum += (0..CHANNELS).map(|c| picture[pixel + c] * weight[row + c]).sum::<f32>();
        }
        sum
    };
    (0..SIDE * SIDE * CHANNELS).map(at).collect()
}

/// Largest difference, relative to the largest expected value.
fn difference(values: &[f32], expected: &[f32]) -> f32 {
    let size = expected.iter().fold(0.0, |most: f32, value| most.max(value.abs()));
    let worst = values.iter().zip(expected).map(|(value, expected)| (value - expected).abs());
    // Not `max`, which would pass over what is not a number.
    let worst = worst.fold(0.0, |worst, error| if error > worst || error.is_nan() { error } else { worst });
    if values.len() == expected.len() { worst / size } else { f32::NAN }
}
