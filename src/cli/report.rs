//! `pseudoword bench --report FILE`: all that is known of a machine and measured on it, in one file to send.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::{doctor, exit, wording};
use crate::base::files::{check_writable, folder_of, write_whole};
use crate::bench::{Bench, KnownGpu, Products, Rates, Row, pieces, steps};
use crate::gpu::Chosen;
use crate::gpu::precision::Decision;
use crate::{Error, Result};

/// How many of the parts that are furthest from the device's peak are printed.
const FURTHEST: usize = 3;

/// A report that is being made.
pub(super) struct Report {
    path: PathBuf,
    object: Value,
}

/// What was measured beside the least that it can take.
struct Comparison {
    what: String,
    measured: f64,
    at_peak: f64,
}

impl Report {
    /// Begins a report with what there is on this machine. What can be wrong with the file is found before the long work.
    ///
    /// # Errors
    /// [`Error::Usage`] if the file is there already or is a folder; [`Error::Write`] if nothing can be written beside it.
    pub fn new(path: &Path, overwrite: bool) -> Result<Self> {
        if path.is_dir() {
            return Err(Error::Usage(format!("--report {}: it is a folder, not a file", path.display())));
        }
        if path.exists() && !overwrite {
            let text = format!("{} exists already: give --report another name, or --overwrite", path.display());
            return Err(Error::Usage(text));
        }
        let folder = folder_of(path);
        if !folder.is_dir() {
            return Err(Error::Usage(format!("--report {}: there is no folder {}", path.display(), folder.display())));
        }
        check_writable(folder)?;
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut object = doctor::machine();
        object["event"] = json!("report");
        object["unix_time"] = json!(seconds);
        Ok(Self { path: path.to_owned(), object })
    }

    /// Adds what would be used, and whether it computes correctly.
    pub fn device(&mut self, chosen: &Chosen) {
        self.object["chosen"] = doctor::chosen_json(chosen);
        self.object["self_test"] = doctor::tested_json(&doctor::self_test(chosen));
    }

    /// Adds in which precision products are made, why, and how each way in f16 did on this GPU.
    pub fn precision(&mut self, decision: &Decision) {
        self.object["precision"] = doctor::precision_json(Some(decision));
    }

    /// Adds what was measured beside the least that it can take; gives the lines that say what is furthest off.
    pub fn compare(&mut self, bench: &Bench, measured: &Value) -> Vec<String> {
        let name = measured["device"].as_str().unwrap_or_default();
        let known = KnownGpu::of_adapter(name);
        let number = |key: &str| measured[key].as_f64().unwrap_or(f64::NAN);
        // What our own kernels reach in the precision in use, where nobody else's figures are known.
        let own = Rates {
            f32_gflops: number("peak_gflops"),
            f16_gflops: number("peak_gflops"),
            matrices: true,
            gigabytes: number("bandwidth_gb_s"),
        };
        let rates = known.map_or(own, |gpu| gpu.rates);
        let precision = &measured["precision"];
        let products = if precision["precision"] == "f16" { Products::F16 } else { Products::F32 };
        let comparisons = compared(bench, measured, &rates, products);
        let source = known.map_or("measured here, with our own kernels", |gpu| gpu.name);
        self.measured(measured);
        self.object["peak"] = json!({
            "source": source, "known": known.map(KnownGpu::to_json), "f32_gflops": rates.f32_gflops,
            "f16_gflops": rates.f16_gflops, "bandwidth_gb_s": rates.gigabytes,
        });
        self.object["parts"] = comparisons.iter().map(Comparison::to_json).collect();
        let name = precision["precision"].as_str().unwrap_or("f32");
        let mut lines =
            vec![format!("least times by the peak of: {source}, with products in {name}; furthest from them:")];
        let mut sorted: Vec<&Comparison> = comparisons.iter().filter(|one| one.times().is_finite()).collect();
        sorted.sort_by(|one, other| other.times().total_cmp(&one.times()));
        lines.extend(sorted.iter().take(FURTHEST).map(|one| one.line()));
        lines
    }

    /// Adds what was measured.
    fn measured(&mut self, measured: &Value) {
        self.object["bench"] = measured.clone();
        if self.object["precision"].is_null() {
            self.object["precision"] = measured["precision"].clone();
        }
    }

    /// Adds what was measured until something failed, what that was, and what was being done then.
    pub fn failed(&mut self, measured: &Value, doing: &str, error: &Error) {
        self.measured(measured);
        self.object["error"] = json!({
            "kind": format!("{:?}", error.kind()), "code": exit::status(error), "doing": doing,
            "message": wording::of_error(error),
        });
    }

    /// Writes the file; gives the line that says what is in it.
    ///
    /// # Errors
    /// [`Error::Write`] if that fails.
    pub fn write(self) -> Result<String> {
        let text = serde_json::to_string_pretty(&self.object).map_err(|error| Error::Internal(error.to_string()))?;
        write_whole(&self.path, (text + "\n").as_bytes())?;
        Ok(format!(
            "the report is in {}: it names this machine's devices and drivers, the model, and nothing else",
            self.path.display()
        ))
    }
}

impl Comparison {
    fn times(&self) -> f64 {
        self.measured / self.at_peak
    }

    fn to_json(&self) -> Value {
        json!({"what": self.what, "measured_s": self.measured, "least_s": self.at_peak, "times": self.times()})
    }

    fn line(&self) -> String {
        let [measured, at_peak] = [self.measured, self.at_peak].map(|seconds| seconds * 1000.0);
        format!("  {:40} {measured:9.2} ms, {at_peak:9.3} ms at the least: {:.1} times", self.what, self.times())
    }
}

/// Everything that was measured and that has a least time.
fn compared(bench: &Bench, measured: &Value, rates: &Rates, products: Products) -> Vec<Comparison> {
    let config = &bench.session.model().config;
    let mut comparisons = Vec::new();
    let mut add = |what: &str, measured: &Value, at_peak: f64| {
        if let Some(measured) = measured.as_f64() {
            comparisons.push(Comparison { what: what.to_owned(), measured, at_peak });
        }
    };
    let least = |row: &Row| row.seconds(rates, products);
    let trained = measured["train_step_s"].as_object().into_iter().flatten();
    let mut times: Vec<(u32, &Value)> =
        trained.filter_map(|(batch, figures)| Some((batch.parse().ok()?, &figures["median"]))).collect();
    times.sort_by_key(|(batch, _)| *batch);
    let batches: Vec<u32> = times.iter().map(|(batch, _)| *batch).collect();
    let rest = ["denoise_step_s", "vae_encode_s", "vae_decode_s"].map(|key| &measured[key]["median"]);
    let medians = times.into_iter().map(|(_, median)| median).chain(rest);
    for (step, median) in steps(config, bench.side, &batches, bench.checkpointing).iter().zip(medians) {
        add(&step.name, median, least(&step.whole()));
    }
    let split = &measured["split_s"];
    if let Some(batch) = split["batch"].as_u64() {
        for row in pieces(config, bench.side, batch as u32, split["recomputed"] == json!(true)) {
            add(&format!("of that, batch {batch}: {}", row.name), &split[row.name], least(&row));
        }
    }
    for op in measured["ops"].as_array().into_iter().flatten() {
        let name = op["op"].as_str().unwrap_or_default();
        for (way, work) in [("forward", &op["work"][0]), ("backward", &op["work"][1])] {
            let amount = |key: &str| work[key].as_f64().unwrap_or(0.0);
            let in_f32 = if rates.matrices { 0.0 } else { amount("matrices_gflop") };
            let half = if products == Products::F16 { amount("half_gflop") - in_f32 } else { 0.0 };
            let arithmetic = half / rates.f16_gflops + (amount("gflop") - half) / rates.f32_gflops;
            let at_peak = arithmetic.max(amount("gigabytes") / rates.gigabytes);
            add(&format!("{name}, {way}"), &op[format!("{way}_s")], at_peak);
        }
    }
    comparisons
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::precision::Findings;

    #[test]
    fn a_report_says_how_each_way_in_f16_did() {
        let found = r#"{"ways": [{"way": "strips in f16", "wrong": "wrong values for attention", "seconds": null}], "full": 0.5}"#;
        let findings: Findings = serde_json::from_str(found).unwrap();
        let mut report = Report { path: PathBuf::new(), object: json!({}) };
        report.precision(&Decision { used: None, findings, why: "it is wrong".to_owned() });
        let precision = &report.object["precision"];
        assert_eq!((&precision["precision"], &precision["why"]), (&json!("f32"), &json!("it is wrong")));
        assert_eq!(precision["findings"]["ways"][0]["wrong"], "wrong values for attention");
        assert_eq!(precision["findings"]["full"], 0.5);
    }
}
