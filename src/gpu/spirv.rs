//! Kernels as Vulkan drivers get them: SPIR-V with the options that wgpu uses.

use naga::back::spv;
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ValidationFlags, Validator};

use crate::{Error, Result};

/// The SPIR-V of a kernel's text, in bytes.
///
/// # Errors
/// [`Error::Internal`] if the text is not a valid kernel, which the tests exclude.
pub fn spirv(text: &str) -> Result<Vec<u8>> {
    let invalid = |reason: String| Error::Internal(format!("a kernel is not valid: {reason}"));
    let module = naga::front::wgsl::parse_str(text).map_err(|error| invalid(error.emit_to_string(text)))?;
    // The capability is that of `unpack2x16float`, which WebGPU has everywhere.
    let info = Validator::new(ValidationFlags::all(), Capabilities::SHADER_FLOAT16_IN_FLOAT32)
        .validate(&module)
        .map_err(|error| invalid(error.emit_to_string(text)))?;
    let entry = spv::PipelineOptions { shader_stage: naga::ShaderStage::Compute, entry_point: "main".to_owned() };
    let words = spv::write_vec(&module, &info, &options(), Some(&entry)).map_err(|error| invalid(error.to_string()))?;
    Ok(words.iter().flat_map(|word| word.to_le_bytes()).collect())
}

/// What wgpu tells naga on a device with Vulkan 1.3, for modules that cubecl makes.
///
/// From wgpu-hal 30.0.1, `vulkan/adapter.rs` (`spv::Options`) and `vulkan/device.rs` (`compile_stage`), which turns off
/// what the module's `ShaderRuntimeChecks` do not ask for. cubecl-wgpu 0.11.3, `backend/base.rs` (`create_module`,
/// `create_pipeline`), asks for bounded loops only, since our sources are launched in its checked mode, and for no
/// zeros in workgroup memory.
fn options() -> spv::Options<'static> {
    let unchecked = BoundsCheckPolicy::Unchecked;
    // Those that every device has; no kernel needs another.
    let capabilities = [
        spv::Capability::Shader,
        spv::Capability::Matrix,
        spv::Capability::Sampled1D,
        spv::Capability::Image1D,
        spv::Capability::ImageQuery,
        spv::Capability::DerivativeControl,
        spv::Capability::StorageImageExtendedFormats,
    ];
    spv::Options {
        lang_version: (1, 6),
        flags: spv::WriterFlags::LABEL_VARYINGS | spv::WriterFlags::FORCE_POINT_SIZE,
        capabilities: Some(capabilities.into_iter().collect()),
        bounds_check_policies: BoundsCheckPolicies {
            index: unchecked,
            buffer: unchecked,
            image_load: unchecked,
            binding_array: unchecked,
        },
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        force_loop_bounding: true,
        ray_query_initialization_tracking: false,
        use_storage_input_output_16: false,
        // Bindings keep their numbers, as they do in the layout that wgpu makes of a module.
        fake_missing_bindings: true,
        binding_map: spv::BindingMap::default(),
        debug_info: None,
        task_dispatch_limits: None,
        mesh_shader_primitive_indices_clamp: false,
        trace_ray_argument_validation: true,
        emit_int_div_checks: false,
    }
}
