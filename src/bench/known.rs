//! GPUs whose peak figures are known, to compare measurements with.

use serde_json::{Value, json};

/// What a device does at most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// Billions of multiplications and additions a second in f32.
    pub f32_gflops: f64,
    /// The same in products of f16 with sums in f32, by whichever units are fastest and can be asked for through wgpu.
    pub f16_gflops: f64,
    /// Whether it has matrix units in a shape that wgpu offers: without them attention is computed in f32.
    pub matrices: bool,
    /// Billions of bytes a second to and from its memory.
    pub gigabytes: f64,
}

/// A GPU that people have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KnownGpu {
    /// What people call it.
    pub name: &'static str,
    /// What it does at most, by its maker's figures.
    pub rates: Rates,
}

const fn gpu(name: &'static str, f32_gflops: f64, f16_gflops: f64, gigabytes: f64) -> KnownGpu {
    KnownGpu { name, rates: Rates { f32_gflops, f16_gflops, matrices: true, gigabytes } }
}

const fn without_matrices(gpu: KnownGpu) -> KnownGpu {
    KnownGpu { rates: Rates { matrices: false, ..gpu.rates }, ..gpu }
}

/// They were chosen for being common, and of different makers. Figures at the boost clock that the maker states; which of its
/// f16 figures is meant varies, so each says, and how the others follow.
pub const GPUS: [KnownGpu; 5] = [
    // NVIDIA's specifications: 3,584 cores in 28 multiprocessors at 1.78 GHz, 192 bits at 15 Gb/s. "NVIDIA Ampere GA102 GPU
    // Architecture": the tensor cores of a multiprocessor make 256 multiply-adds of f16 with f32 sums a cycle, which is a
    // quarter of the 101 "tensor teraflops" that it advertises (sums in f16, half of the factors zero).
    gpu("RTX 3060", 12_740.0, 25_500.0, 360.0),
    // "NVIDIA Ada GPU Architecture", appendix A: FP32; FP16 tensor with FP32 accumulate, dense; memory bandwidth.
    // Measurements of the second by others come to 160 to 166 teraflops.
    gpu("RTX 4090", 82_600.0, 165_200.0, 1008.0),
    // AMD's specifications: 60 units at 2.43 GHz, 256 bits at 19.5 Gb/s, peak single precision. GPUOpen, "How to accelerate AI
    // applications on RDNA 3 using WMMA": 512 operations of f16 with f32 sums a cycle in each unit, which is AMD's figure for
    // half precision. Half of the f32 figure is for instructions in pairs, which the compiler finds few of in our kernels.
    gpu("RX 7800 XT", 37_320.0, 74_650.0, 624.0),
    // Apple, "Apple unveils M2" (2022): 3.6 teraflops with 10 cores, 100 GB/s. Its matrix instructions run on the same
    // units, and f16 is as fast as f32 there (P. Turner, "Metal Benchmarks").
    gpu("Apple M2", 3600.0, 3600.0, 100.0),
    // Intel's specifications: 32 Xe cores at 2.1 GHz, 560 GB/s with 16 GB. "Introduction to the Xe-HPG Architecture": a core has
    // 16 vector engines, each of which makes 16 operations of f32 a cycle or 32 of f16. Its matrix units have shapes that
    // wgpu does not offer.
    without_matrices(gpu("Arc A770", 17_200.0, 34_400.0, 560.0)),
];

impl KnownGpu {
    /// The one that an adapter's name means.
    pub fn of_adapter(adapter: &str) -> Option<Self> {
        // The same number with one of these is another chip, or a slower one.
        const OTHERS: [&str; 8] = ["laptop", "mobile", "ti", "super", "max-q", "pro", "max", "ultra"];
        let lower = adapter.to_lowercase();
        let words = lower.split(|c: char| !c.is_alphanumeric() && c != '-');
        // Some drivers write "Arc(TM)".
        let words: Vec<&str> = words.filter(|word| !["", "r", "tm"].contains(word)).collect();
        let is_meant = |gpu: &&KnownGpu| {
            let name = gpu.name.to_lowercase();
            let wanted: Vec<&str> = name.split(' ').collect();
            words.windows(wanted.len()).any(|some| some == wanted) && !words.iter().any(|word| OTHERS.contains(word))
        };
        GPUS.iter().find(is_meant).copied()
    }

    /// For programs.
    pub fn to_json(self) -> Value {
        let Rates { f32_gflops, f16_gflops, matrices, gigabytes } = self.rates;
        json!({
            "name": self.name, "f32_gflops": f32_gflops, "f16_gflops": f16_gflops, "matrices": matrices,
            "bandwidth_gb_s": gigabytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adapters_are_known_by_what_drivers_call_them() {
        let name = |adapter: &str| KnownGpu::of_adapter(adapter).map(|gpu| gpu.name);
        for (adapter, known) in [
            ("NVIDIA GeForce RTX 3060", "RTX 3060"),
            ("NVIDIA GeForce RTX 4090", "RTX 4090"),
            ("AMD Radeon RX 7800 XT (RADV NAVI32)", "RX 7800 XT"),
            ("Apple M2", "Apple M2"),
            ("Intel(R) Arc(tm) A770 Graphics (DG2)", "Arc A770"),
            ("Intel(R) Arc(TM) A770 Graphics", "Arc A770"),
        ] {
            assert_eq!(name(adapter), Some(known), "{adapter}");
        }
        for other in [
            "NVIDIA GeForce RTX 3060 Ti",
            "NVIDIA GeForce RTX 3060 Laptop GPU",
            "NVIDIA GeForce RTX 4090 Laptop GPU",
            "AMD Radeon RX 7800",
            "Apple M2 Pro",
            "Apple M2 Max",
            "Apple M1",
            "llvmpipe (LLVM 15.0.6, 256 bits)",
            "",
        ] {
            assert_eq!(name(other), None, "{other}");
        }
    }
}
