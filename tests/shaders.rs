//! Every kernel is valid WGSL within the limits that all WebGPU devices have; no GPU needed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

use naga::valid::{Capabilities, ValidationFlags, Validator};

#[test]
fn every_kernel_is_valid_and_modest() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let mut seen = 0;
    for entry in std::fs::read_dir(&folder).expect("the folder of kernels") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "wgsl") {
            continue;
        }
        seen += 1;
        let name = path.display();
        let shared = std::fs::read_to_string(folder.join("shared/group.wgsl")).expect("text");
        let text = shared + &std::fs::read_to_string(&path).expect("text");
        // Any sizes will do: 16 positions, 8 channels in 2 groups.
        let text = [("positions", "16"), ("channels", "8"), ("groups", "2"), ("eps", "1e-5"), ("silu", "1")]
            .iter()
            .fold(text, |text, (key, value)| text.replace(&format!("{{{{ {key} }}}}"), value));
        assert!(!text.contains("{{"), "{name}: a number of the launcher's is not in this test");
        let module = naga::front::wgsl::parse_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        Validator::new(ValidationFlags::all(), Capabilities::empty())
            .validate(&module)
            .unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let buffers = module.global_variables.iter().filter(|(_, variable)| variable.binding.is_some()).count();
        assert!(buffers <= 7, "{name}: {buffers} buffers");
        let entry = &module.entry_points[0];
        assert_eq!(entry.name, "main", "{name}");
        assert!(entry.workgroup_size.iter().product::<u32>() <= 256, "{name}: {:?}", entry.workgroup_size);
    }
    assert!(seen >= 2, "only {seen} kernels found");
}
