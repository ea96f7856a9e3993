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
    let extensions = Extensions::of(text);
    let mut front = naga::front::wgsl::Options::new();
    front.capabilities = extensions.validated();
    let module = naga::front::wgsl::Frontend::new_with_options(front).parse(text);
    let module = module.map_err(|error| invalid(error.emit_to_string(text)))?;
    let info = Validator::new(ValidationFlags::all(), extensions.validated())
        .validate(&module)
        .map_err(|error| invalid(error.emit_to_string(text)))?;
    let entry = spv::PipelineOptions { shader_stage: naga::ShaderStage::Compute, entry_point: "main".to_owned() };
    let words = spv::write_vec(&module, &info, &options(extensions), Some(&entry))
        .map_err(|error| invalid(error.to_string()))?;
    Ok(words.iter().flat_map(|word| word.to_le_bytes()).collect())
}

/// What a kernel's text asks of its device beyond what all have, in `enable` directives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Extensions {
    f16: bool,
    matrices: bool,
}

impl Extensions {
    fn of(text: &str) -> Self {
        let directives = text.lines().filter_map(|line| line.strip_prefix("enable ")?.split_once(';'));
        let enabled: Vec<&str> = directives.flat_map(|(names, _)| names.split(',').map(str::trim)).collect();
        Self { f16: enabled.contains(&"f16"), matrices: enabled.contains(&"wgpu_cooperative_matrix") }
    }

    /// What the validator is to allow: what wgpu allows on a device that has them.
    fn validated(self) -> Capabilities {
        // That of `unpack2x16float`, which WebGPU has everywhere.
        let mut capabilities = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
        capabilities.set(Capabilities::SHADER_FLOAT16, self.f16);
        capabilities.set(Capabilities::COOPERATIVE_MATRIX | Capabilities::SUBGROUP, self.matrices);
        capabilities
    }

    /// What the module may ask of its device.
    fn capabilities(self) -> Vec<spv::Capability> {
        let f16 = self.f16.then_some(spv::Capability::Float16);
        // A matrix belongs to a subgroup.
        let matrices = [
            spv::Capability::CooperativeMatrixKHR,
            spv::Capability::VulkanMemoryModel,
            spv::Capability::GroupNonUniform,
        ];
        f16.into_iter().chain(matrices.into_iter().filter(|_| self.matrices)).collect()
    }
}

/// What wgpu tells naga on a device with Vulkan 1.3, for modules that cubecl makes.
///
/// From wgpu-hal 30.0.1, `vulkan/adapter.rs` (`spv::Options`) and `vulkan/device.rs` (`compile_stage`), which turns off
/// what the module's `ShaderRuntimeChecks` do not ask for. cubecl-wgpu 0.11.3, `backend/base.rs` (`create_module`,
/// `create_pipeline`), asks for bounded loops only, since our sources are launched in its checked mode, and for no
/// zeros in workgroup memory.
fn options(extensions: Extensions) -> spv::Options<'static> {
    let unchecked = BoundsCheckPolicy::Unchecked;
    // Those that every device has.
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
        capabilities: Some(capabilities.into_iter().chain(extensions.capabilities()).collect()),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A kernel that asks for these extensions; what it does with them is in `body`.
    fn kernel(enabled: &str, body: &str) -> String {
        format!(
            "{enabled}\n@group(0) @binding(0) var<storage, read_write> values: array<f32>;\n\
             @group(0) @binding(1) var<storage, read> halves: array<vec4<u32>>;\n\
             @compute @workgroup_size(32)\nfn main() {{ {body} }}\n"
        )
    }

    #[test]
    fn what_a_text_does_not_enable_it_may_not_use() {
        let f16 = "values[0] = f32(f16(halves[0].x));";
        let matrices = "var sum: coop_mat16x16<f32, C>; coopStore(sum, &values[0], 16u);";
        assert!(spirv(&kernel("", "values[0] = unpack2x16float(halves[0].x).x;")).is_ok());
        assert!(spirv(&kernel("", f16)).is_err());
        assert!(spirv(&kernel("", matrices)).is_err());
        assert!(spirv(&kernel("enable f16;", f16)).is_ok());
        assert!(spirv(&kernel("enable wgpu_cooperative_matrix;", matrices)).is_ok());
        let both = kernel("enable wgpu_cooperative_matrix;\nenable f16;", &format!("{f16} {matrices}"));
        assert!(spirv(&both).is_ok());
        assert_eq!(Extensions::of(&both), Extensions { f16: true, matrices: true });
    }
}
