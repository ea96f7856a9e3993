//! Every kernel, in every form in which it may be launched, is valid WGSL within the limits that all WebGPU devices have; no
//! GPU needed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

use std::collections::BTreeSet;

use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{AddressSpace, Module};

/// Bytes of workgroup memory.
fn workgroup_memory(module: &Module) -> u32 {
    let mut layouter = naga::proc::Layouter::default();
    layouter.update(module.to_ctx()).unwrap();
    let shared = module.global_variables.iter().filter(|(_, variable)| variable.space == AddressSpace::WorkGroup);
    shared.map(|(_, variable)| layouter[variable.ty].size).sum()
}

#[test]
fn every_kernel_is_valid_and_modest() {
    let texts = pseudoword::ops::kernel_texts();
    for (name, text) in &texts {
        assert!(!text.contains("{{"), "{name}: something was not filled in\n{text}");
        let module =
            naga::front::wgsl::parse_str(text).unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(text)));
        // What naga calls a capability is only `unpack2x16float`, which WebGPU has everywhere.
        Validator::new(ValidationFlags::all(), Capabilities::SHADER_FLOAT16_IN_FLOAT32)
            .validate(&module)
            .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(text)));
        let buffers = module
            .global_variables
            .iter()
            .filter(|(_, variable)| matches!(variable.space, AddressSpace::Storage { .. }));
        assert!(buffers.count() <= 7, "{name}: too many buffers");
        let entry = &module.entry_points[0];
        assert_eq!(entry.name, "main", "{name}");
        assert!(entry.workgroup_size.iter().product::<u32>() <= 256, "{name}: {:?}", entry.workgroup_size);
        let memory = workgroup_memory(&module);
        assert!(memory <= 16384, "{name}: {memory} bytes of workgroup memory");
    }
    println!("{} forms", texts.len());
}

#[test]
fn every_file_is_a_kernel_that_is_launched() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let kernels = files.filter(|path| path.extension().is_some_and(|extension| extension == "wgsl"));
    let files: BTreeSet<String> = kernels.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    let launched: BTreeSet<String> =
        pseudoword::ops::kernel_texts().into_iter().map(|(name, _)| name.to_owned()).collect();
    assert_eq!(files, launched);
}
