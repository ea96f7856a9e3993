//! Every kernel, in every form in which it may be launched, is valid WGSL within the limits that all WebGPU devices
//! have, is what its declaration says, and suits the GPUs that get it; no GPU needed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

// The vendor's compiler comes from Debian's packages for this machine.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod gate;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod radv;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use naga::valid::{Capabilities, GlobalUse, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Module, Scalar, TypeInner};
use pseudoword::ops::{KernelForm, kernel_forms};

/// Bytes of workgroup memory.
fn workgroup_memory(module: &Module) -> u32 {
    let mut layouter = naga::proc::Layouter::default();
    layouter.update(module.to_ctx()).unwrap();
    let shared = module.global_variables.iter().filter(|(_, variable)| variable.space == AddressSpace::WorkGroup);
    shared.map(|(_, variable)| layouter[variable.ty].size).sum()
}

/// The struct in the uniform buffer is the one that the launcher fills in.
fn assert_sizes_are_as_declared(form: &KernelForm, module: &Module) {
    let name = form.name();
    let mut uniforms = module.global_variables.iter().filter(|(_, variable)| variable.space == AddressSpace::Uniform);
    let (_, sizes) = uniforms.next().unwrap();
    assert!(uniforms.next().is_none(), "{name}: a second uniform buffer");
    assert_eq!(sizes.binding.unwrap().binding, form.uniform_binding(), "{name}");
    let TypeInner::Struct { members, span } = &module.types[sizes.ty].inner else { panic!("{name}: not a struct") };
    let reflected = members.iter().map(|member| {
        let kind = match module.types[member.ty].inner {
            TypeInner::Scalar(Scalar::U32) => "u32",
            TypeInner::Scalar(Scalar::F32) => "f32",
            _ => "another type",
        };
        (member.name.as_deref().unwrap(), kind, member.offset as usize)
    });
    let declared = form.sizes().iter().map(|field| (field.name, field.kind, field.offset));
    assert_eq!(reflected.collect::<Vec<_>>(), declared.collect::<Vec<_>>(), "{name}: Sizes in WGSL and in Rust");
    assert_eq!(*span as usize, form.sizes_bytes(), "{name}: bytes of Sizes");
}

/// A result lies where others were before, and the launcher says of it that it is only written: no kernel reads what it writes, nor
/// writes what it reads.
fn assert_no_result_is_read(form: &KernelForm, module: &Module, info: &ModuleInfo) {
    let declared = format!(" {}", form.declared());
    let buffers = module.global_variables.iter();
    for (buffer, variable) in buffers.filter(|(_, variable)| matches!(variable.space, AddressSpace::Storage { .. })) {
        let name = variable.name.as_deref().unwrap();
        let written = declared.contains(&format!(" {name} (f32, written)"));
        let used = info.get_entry_point(0)[buffer];
        // Not every form needs each of its inputs.
        let as_declared = if written { used == GlobalUse::WRITE } else { GlobalUse::READ.contains(used) };
        assert!(as_declared, "{}: {name} is written: {written}, and used: {used:?}", form.name());
    }
}

/// What a kernel may need of a device beyond what all have.
fn capabilities(text: &str) -> Capabilities {
    // What naga calls a capability is only `unpack2x16float`, which WebGPU has everywhere.
    let everywhere = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    let mut needed = everywhere;
    needed.set(Capabilities::SHADER_FLOAT16, text.contains("enable f16;"));
    let matrices = Capabilities::COOPERATIVE_MATRIX | Capabilities::SUBGROUP;
    needed.set(matrices, text.contains("enable wgpu_cooperative_matrix;"));
    needed
}

#[test]
fn every_kernel_is_valid_modest_and_as_declared() {
    let forms = kernel_forms();
    for form in &forms {
        let (name, text) = (form.name(), form.text());
        assert!(!text.contains("{{"), "{name}: something was not filled in\n{text}");
        let capabilities = capabilities(&text);
        let mut options = naga::front::wgsl::Options::new();
        options.capabilities = capabilities;
        let module = naga::front::wgsl::Frontend::new_with_options(options)
            .parse(&text)
            .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(&text)));
        let info = Validator::new(ValidationFlags::all(), capabilities)
            .validate(&module)
            .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(&text)));
        assert_no_result_is_read(form, &module, &info);
        let buffers = module
            .global_variables
            .iter()
            .filter(|(_, variable)| matches!(variable.space, AddressSpace::Storage { .. }));
        assert!(buffers.count() <= 8, "{name}: too many buffers");
        let entry = &module.entry_points[0];
        assert_eq!(entry.name, "main", "{name}");
        assert!(form.lanes() <= 256, "{name}: {} invocations", form.lanes());
        assert_eq!(entry.workgroup_size, [form.lanes(), 1, 1], "{name}: invocations of a workgroup");
        let memory = workgroup_memory(&module);
        assert!(memory <= 16384, "{name}: {memory} bytes of workgroup memory");
        assert_sizes_are_as_declared(form, &module);
    }
    println!("{} forms", forms.len());
}

#[test]
fn every_form_is_another_text() {
    let mut described = BTreeMap::new();
    for form in kernel_forms() {
        if let Some(other) = described.insert(form.hash(), form.description()) {
            panic!("{}: {other} is the same text as {}", form.name(), form.description());
        }
    }
}

#[test]
fn every_file_is_a_kernel_that_is_listed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let kernels = files.filter(|path| path.extension().is_some_and(|extension| extension == "wgsl"));
    let files: BTreeSet<String> = kernels.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    let listed: BTreeSet<String> = kernel_forms().iter().map(|form| form.name().to_owned()).collect();
    assert_eq!(files, listed);
}

#[test]
fn the_readme_lists_the_buffers_as_they_are_declared() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders/README.md")).unwrap();
    let lines: BTreeSet<String> =
        kernel_forms().iter().map(|form| format!("| `{}.wgsl` | {} |", form.name(), form.declared())).collect();
    let missing: Vec<&String> = lines.iter().filter(|line| !readme.contains(line.as_str())).collect();
    assert!(missing.is_empty(), "shaders/README.md should have these lines:\n{missing:#?}");
}
