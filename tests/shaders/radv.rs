//! Kernels as AMD's compiler (Mesa's RADV) makes them, for GPUs that are not there: what `tools/gpu/isa` prints.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A generation of GPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    Rdna3,
    Rdna2,
    Gcn5,
}

impl Family {
    pub const ALL: [Family; 3] = [Family::Rdna3, Family::Rdna2, Family::Gcn5];

    /// What the compiler calls one of its GPUs.
    fn gpu(self) -> &'static str {
        match self {
            Family::Rdna3 => "NAVI31",
            Family::Rdna2 => "NAVI21",
            Family::Gcn5 => "VEGA10",
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Family::Rdna3 => "RDNA 3",
            Family::Rdna2 => "RDNA 2",
            Family::Gcn5 => "GCN 5",
        }
    }
}

/// What the compiler says of a kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiled {
    /// Vector registers of an invocation.
    pub registers: u64,
    /// Vector and scalar registers that did not fit.
    pub spilled: u64,
    /// Bytes of memory for what did not fit.
    pub scratch: u64,
    /// Waves that a SIMD has at a time.
    pub waves: u64,
    /// The compiler's own estimate of a wave's time on a busy GPU, in cycles.
    pub throughput: u64,
    /// The loop that multiplies; none if the instructions were not asked for, or if nothing is multiplied in a loop.
    pub inner: Option<InnerLoop>,
}

/// Instructions of an innermost loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InnerLoop {
    pub instructions: usize,
    pub multiply_adds: usize,
    /// Those of them that multiply whole matrices.
    pub matrices: usize,
}

/// Compiles SPIR-V for a family; the results are in the order of the files.
pub fn compile(family: Family, files: &[PathBuf], assembly: bool) -> Vec<Compiled> {
    if files.is_empty() {
        return Vec::new();
    }
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/gpu/isa");
    let mut command = Command::new(tool);
    command.args(["--gpu", family.gpu()]).args(assembly.then_some("--assembly")).args(files);
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "tools/gpu/isa could not compile for {}: see above", family.name());
    let compiled = parse(&String::from_utf8_lossy(&output.stdout));
    assert_eq!(compiled.len(), files.len(), "{}: one answer to a kernel", family.name());
    compiled
}

/// Each kernel has a line that begins with `>`, perhaps followed by its instructions.
fn parse(text: &str) -> Vec<Compiled> {
    let mut kernels: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("> ") {
            Some(head) => kernels.push((head, Vec::new())),
            None => kernels.last_mut().unwrap().1.push(line),
        }
    }
    let compiled = |(head, assembly): (&str, Vec<&str>)| {
        let statistics: BTreeMap<&str, &str> = head.split('\t').filter_map(|part| part.split_once('=')).collect();
        let number = |name: &str| {
            let number = statistics.get(name).unwrap_or_else(|| panic!("the compiler does not state {name}: {head}"));
            number.parse::<u64>().unwrap()
        };
        Compiled {
            registers: number("VGPRs"),
            spilled: number("Spilled VGPRs") + number("Spilled SGPRs"),
            scratch: number("Scratch size"),
            waves: number("Subgroups per SIMD"),
            throughput: number("Inverse Throughput"),
            inner: multiplying_loop(&assembly),
        }
    };
    kernels.into_iter().map(compiled).collect()
}

/// Of the loops that multiply and have none in them that does, the one that multiplies most, matrices before numbers: what is
/// written in the end is scaled and added to in a loop, too.
fn multiplying_loop(assembly: &[&str]) -> Option<InnerLoop> {
    let label = |line: &str| line.strip_suffix(':').filter(|label| label.starts_with("BB")).map(str::to_owned);
    let labels: BTreeMap<String, usize> =
        assembly.iter().enumerate().filter_map(|(at, line)| Some((label(line)?, at))).collect();
    // A branch back to a label makes a loop of all between them; of several to the same label, the last one ends it.
    let mut loops = BTreeMap::new();
    for (at, line) in assembly.iter().enumerate() {
        let mut words = line.split_whitespace();
        let (Some(what), Some(target)) = (words.next(), words.next()) else { continue };
        if (what == "s_branch" || what.starts_with("s_cbranch"))
            && let Some(begin) = labels.get(target).filter(|begin| **begin < at)
        {
            loops.insert(*begin, at);
        }
    }
    // A loop that only fills memory may be in the one that multiplies.
    let counted = loops.iter().map(|(begin, end)| (*begin, *end, count(&assembly[*begin..=*end])));
    let multiplying: Vec<_> = counted.filter(|(.., inner)| inner.multiply_adds > 0).collect();
    let innermost = multiplying
        .iter()
        .filter(|(begin, end, _)| !multiplying.iter().any(|(other, other_end, _)| other > begin && other_end <= end));
    innermost.map(|(.., inner)| *inner).max_by_key(|inner| (inner.matrices, inner.multiply_adds))
}

fn count(lines: &[&str]) -> InnerLoop {
    let mut inner = InnerLoop { instructions: 0, multiply_adds: 0, matrices: 0 };
    for line in lines.iter().filter(|line| line.starts_with('\t')) {
        let what = line.split_whitespace().next().unwrap_or("");
        inner.instructions += 1;
        inner.multiply_adds += usize::from(is_multiply_add(what, line));
        inner.matrices += usize::from(what.starts_with("v_wmma"));
    }
    inner
}

fn is_multiply_add(what: &str, line: &str) -> bool {
    const KINDS: [&str; 10] = [
        "v_fma_f",
        "v_fmac_",
        "v_mac_f",
        "v_mad_f",
        "v_fma_mix",
        "v_mad_mix",
        "v_pk_fma",
        "v_dot2",
        "v_wmma",
        "v_dual_fmac",
    ];
    // What adds zero converts a half.
    let converts = what.contains("_mix") && (line.contains("neg(0)") || line.contains(", 0 "));
    (KINDS.iter().any(|kind| what.starts_with(kind)) || line.contains(":: v_dual_fmac")) && !converts
}

#[test]
fn the_loop_that_multiplies_is_found() {
    let head = "> a-u1.spv\tVGPRs=48\tSpilled SGPRs=1\tSpilled VGPRs=2\tScratch size=3\tSubgroups per SIMD=4\t\
                Inverse Throughput=5";
    let assembly = "BB0:\n\
                    \tv_fma_f32 v1, v2, v3, v4       ; 00\n\
                    BB1:\n\
                    \ts_cbranch_scc1 BB9             ; forward: not a loop\n\
                    BB2:\n\
                    \tv_fmac_f32_e32 v1, v2, v3\n\
                    \tv_fma_mix_f32 v1, v2, 1.0, neg(0) op_sel_hi:[1,0,0]\n\
                    \tv_dual_fmac_f32 v1, v2, v3 :: v_dual_mov_b32 v4, v5\n\
                    \tv_wmma_f32_16x16x16_f16 v[0:7], v[8:15], v[16:23], v[0:7]\n\
                    \ts_cbranch_scc0 BB2\n\
                    BB3:\n\
                    \tv_fmac_f32_e32 v1, v2, v3\n\
                    \ts_branch BB1\n\
                    BB9:\n\
                    \ts_endpgm";
    let inner = Some(InnerLoop { instructions: 5, multiply_adds: 3, matrices: 1 });
    let with = Compiled { registers: 48, spilled: 3, scratch: 3, waves: 4, throughput: 5, inner };
    let without = Compiled { inner: None, ..with.clone() };
    assert_eq!(parse(&format!("{head}\n{assembly}\n{head}\n")), [with, without]);
}
