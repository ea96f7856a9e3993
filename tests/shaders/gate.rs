//! Every form that a GPU of hardware may be given, compiled by a vendor's own compiler: nothing spills, and enough waves
//! fit that a GPU has something to do while it waits for memory.
//!
//! Software GPUs hide both. `tools/gpu/table` writes what is compared here into `benches/kernels.md`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pseudoword::gpu::spirv;
use pseudoword::ops::{KernelForm, kernel_forms};

use crate::radv::{Compiled, Family, compile};
use crate::table;

/// Waves of a SIMD on RDNA 3 that every form has room for.
const FEWEST_WAVES: u64 = 8;

/// Forms that have room for fewer: the kernel, how its variant's name begins, how many waves there are, and why.
const FEWER_WAVES: [(&str, &str, u64, &str); 0] = [];

/// Forms that no family compiles, because AMD's GPUs have no matrices of 8 x 8: the kernel, and what its variant's name has.
const NOT_COMPILED: [(&str, &str); 12] = [
    ("linear_matrices", " of 8x8"),
    ("linear_activated_matrices", " of 8x8"),
    ("linear_geglu_matrices", " of 8x8"),
    ("linear_normed_matrices", " of 8x8"),
    ("linear_normed_activated_matrices", " of 8x8"),
    ("linear_normed_geglu_matrices", " of 8x8"),
    ("linear_slope_matrices", " of 8x8"),
    ("conv2d_matrices", " of 8x8"),
    ("conv2d_backward_matrices", " of 8x8"),
    ("attention", " of 8x8"),
    ("attention_backward_queries", " of 8x8"),
    ("attention_backward_keys", " of 8x8"),
];

/// A form, and what each family's compiler says of it.
pub struct Row {
    pub form: KernelForm,
    pub compiled: BTreeMap<Family, Compiled>,
}

impl Row {
    /// Whether nothing is known of it, and none of the families could.
    fn is_not_compiled(&self, (kernel, part): &(&str, &str)) -> bool {
        self.compiled.is_empty() && self.form.name() == *kernel && self.form.variant().contains(part)
    }

    /// What is wrong with it.
    fn complaints(&self) -> Vec<String> {
        let (kernel, variant) = (self.form.name(), self.form.variant());
        if self.compiled.is_empty() && !NOT_COMPILED.iter().any(|expected| self.is_not_compiled(expected)) {
            return vec![format!("{kernel}, {variant}: no family compiles it")];
        }
        let fewer = FEWER_WAVES.iter().find(|(name, begins, ..)| *name == kernel && variant.starts_with(begins));
        let fewest = fewer.map_or(FEWEST_WAVES, |(_, _, waves, _)| *waves);
        let mut complaints = Vec::new();
        for (family, compiled) in &self.compiled {
            let Compiled { spilled, scratch, waves, inner, .. } = compiled;
            let mut complain =
                |text: String| complaints.push(format!("{kernel}, {variant}, {}: {text}", family.name()));
            if (*spilled, *scratch) != (0, 0) {
                complain(format!("{spilled} registers spilled, {scratch} bytes of scratch memory"));
            }
            if *family == Family::Rdna3 && *waves < fewest {
                complain(format!("{waves} waves, where {fewest} should fit"));
            }
            if uses_matrices(&self.form) && inner.is_none_or(|inner| inner.matrices == 0) {
                complain("no matrix instruction where it multiplies".to_owned());
            }
        }
        complaints
    }
}

/// Whether the form is made with cooperative matrices.
fn uses_matrices(form: &KernelForm) -> bool {
    form.text().contains("enable wgpu_cooperative_matrix")
}

/// Whether a family can compile the form: matrices of 16 x 16 came with RDNA 3, and others are not AMD's.
fn is_for(form: &KernelForm, family: Family) -> bool {
    !uses_matrices(form) || (family == Family::Rdna3 && form.text().contains("coop_mat16x16"))
}

/// Compiles every form for every family that can have it; or those whose description has `only` in it.
fn compiled(assembly: bool, only: &str) -> Vec<Row> {
    let folder = tempfile::tempdir().unwrap();
    let forms = kernel_forms().into_iter().filter(|form| form.for_hardware() && form.description().contains(only));
    let forms: Vec<KernelForm> = forms.collect();
    let write = |(at, form): (usize, &KernelForm)| {
        let path = folder.path().join(format!("{at}-u{}.spv", form.uniform_binding()));
        std::fs::write(&path, spirv(&form.text()).unwrap()).unwrap();
        path
    };
    let files: Vec<PathBuf> = forms.iter().enumerate().map(write).collect();
    let mut rows: Vec<Row> = forms.into_iter().map(|form| Row { form, compiled: BTreeMap::new() }).collect();
    // The compiler runs on one core, for one family to a process. Which instructions come out is looked at where the table
    // or matrices ask for it.
    let answers = std::thread::scope(|scope| {
        let threads = Family::ALL.map(|family| {
            let its = (0..rows.len()).filter(|at| is_for(&rows[*at].form, family));
            let (with, without): (Vec<usize>, _) = its.partition(|at| assembly || uses_matrices(&rows[*at].form));
            let files = [&with, &without].map(|its| its.iter().map(|at| files[*at].clone()).collect::<Vec<_>>());
            scope.spawn(move || {
                let [first, second] = [compile(family, &files[0], true), compile(family, &files[1], false)];
                (family, [with, without].concat(), [first, second].concat())
            })
        });
        threads.map(|thread| thread.join().unwrap())
    });
    for (family, its, compiled) in answers {
        for (at, compiled) in its.into_iter().zip(compiled) {
            rows[at].compiled.insert(family, compiled);
        }
    }
    rows
}

/// With `PSEUDOWORD_KERNEL_TABLE`, a file, the table is written there: see `tools/gpu/table`. With `PSEUDOWORD_KERNEL_FORMS`,
/// such as `q8`, only the forms are looked at whose description has that in it.
#[test]
fn every_form_for_hardware_fits_a_gpus_registers() {
    let table = std::env::var_os("PSEUDOWORD_KERNEL_TABLE").map(PathBuf::from);
    let only = std::env::var("PSEUDOWORD_KERNEL_FORMS").unwrap_or_default();
    let rows = compiled(table.is_some(), &only);
    if let Some(path) = table {
        std::fs::write(Path::new(&path), table::of(&rows)).unwrap();
    }
    let complaints: Vec<String> = rows.iter().flat_map(Row::complaints).collect();
    assert!(complaints.is_empty(), "{} of {} forms:\n{}", complaints.len(), rows.len(), complaints.join("\n"));
    let compiled = Family::ALL.map(|family| {
        let forms = rows.iter().filter(|row| row.compiled.contains_key(&family)).count();
        format!("{forms} for {}", family.name())
    });
    println!("{} forms for hardware; compiled: {}", rows.len(), compiled.join(", "));
    for expected @ (kernel, part) in NOT_COMPILED.iter().filter(|_| only.is_empty()) {
        let forms = rows.iter().filter(|row| row.is_not_compiled(expected)).count();
        assert!(forms > 0, "every form of {kernel}{part} is compiled: it need not be listed");
        println!("not compiled: {forms} forms of {kernel}, those{part}");
    }
}
