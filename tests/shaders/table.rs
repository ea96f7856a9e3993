//! The table of all kernels as a vendor's compiler makes them: `benches/kernels.md`.

use std::fmt::Write;
use std::path::Path;

use pseudoword::ops::{KernelForm, kernel_forms};

use crate::gate::Row;
use crate::radv::{Compiled, Family};

/// What stands above the table.
const HEAD: &str = "\
# Kernels as a vendor's compiler makes them

Made by `tools/gpu/table` (Mesa's RADV, for GPUs that are not there), which also holds what `cargo test --test shaders` holds: no
spilled register, no scratch memory, at least 8 waves a SIMD on RDNA 3. Not in the table are the forms for software GPUs alone (blocks).
A test holds which kernels it has and in how many forms; the figures are as current as the commit that last changed them: make it again
with a change of a kernel.

A row is a kernel with one tile or head; the ranges are over the ways in which its buffers may be stored (f32, f16 or q8, in fours or one
by one, with or without bias and residual). Registers are those of an invocation: 256 at most. Waves are how many of them
a SIMD has room for. The estimate is the compiler's own (\"inverse throughput\", in cycles of a wave, for loops of unknown length):
good for comparing one kernel's versions, not for comparing kernels. The share is that of multiply-adds among the
instructions of the innermost loop on RDNA 3, matrix instructions in brackets.

";

/// The table of these forms, in their order.
pub fn of(rows: &[Row]) -> String {
    let mut text = HEAD.to_owned();
    text += "| kernel | variant | forms | spilled | share |";
    for family in Family::ALL {
        let _ = write!(text, " {0}: registers | waves | estimate |", family.name());
    }
    text += "\n| --- | --- | --- | --- | --- |";
    text += &" --- | --- | --- |".repeat(Family::ALL.len());
    text += "\n";
    for group in rows.chunk_by(|one, next| of_one_row(&one.form) == of_one_row(&next.form)) {
        let (kernel, variant) = of_one_row(&group[0].form);
        let all = || group.iter().flat_map(|row| row.compiled.values());
        let spilled = all().map(|compiled| compiled.spilled).max().unwrap_or(0);
        let _ = write!(text, "| {kernel} | {variant} | {} | {spilled} | {} |", group.len(), share(group));
        for family in Family::ALL {
            let of =
                |what: fn(&Compiled) -> u64| range(group.iter().filter_map(|row| row.compiled.get(&family)).map(what));
            let (registers, waves) = (of(|compiled| compiled.registers), of(|compiled| compiled.waves));
            let _ = write!(text, " {registers} | {waves} | {} |", of(|compiled| compiled.throughput));
        }
        text += "\n";
    }
    text
}

fn of_one_row(form: &KernelForm) -> (&str, &str) {
    (form.name(), form.variant())
}

/// The least and the most; a dash if there are none.
fn range(values: impl Iterator<Item = u64> + Clone) -> String {
    match (values.clone().min(), values.max()) {
        (Some(least), Some(most)) if least < most => format!("{least} to {most}"),
        (Some(one), _) => one.to_string(),
        _ => "-".to_owned(),
    }
}

fn share(group: &[Row]) -> String {
    let inner = group.iter().filter_map(|row| row.compiled.get(&Family::Rdna3)?.inner);
    let percent = inner.clone().map(|inner| (100 * inner.multiply_adds / inner.instructions) as u64);
    match inner.map(|inner| inner.matrices).max() {
        None => "-".to_owned(),
        Some(0) => format!("{} %", range(percent)),
        Some(matrices) => format!("{} % ({matrices})", range(percent)),
    }
}

#[test]
fn the_table_has_every_form() {
    let forms: Vec<KernelForm> = kernel_forms().into_iter().filter(KernelForm::for_hardware).collect();
    let rows = forms.chunk_by(|one, next| of_one_row(one) == of_one_row(next));
    let expected = rows.map(|group| {
        let (kernel, variant) = of_one_row(&group[0]);
        format!("| {kernel} | {variant} | {} |", group.len())
    });
    let table = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/kernels.md")).unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| ")).skip(2);
    let begins = rows.map(|row| row.split_inclusive('|').take(4).collect::<String>());
    let (expected, begins): (Vec<String>, Vec<String>) = (expected.collect(), begins.collect());
    assert_eq!(begins, expected, "benches/kernels.md is out of date: tools/gpu/table makes it");
}
