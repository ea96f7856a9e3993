//! `doctor --kernels`: what is really compiled, in files.

use std::collections::BTreeSet;
use std::fs;

use pseudoword::ops::kernel_forms;

use crate::place::{Place, events, refused, succeeded, text};

#[test]
fn doctor_writes_every_form_of_every_kernel_and_disturbs_nothing_else() {
    let place = Place::new();
    let written = place.run(&["doctor", "--kernels", "kernels", "--json"]);
    succeeded(&written);
    let report = events(&written.stdout).pop().unwrap();
    let forms = kernel_forms();
    let count = 2 * forms.len();
    assert_eq!((report["event"].as_str(), report["files"].as_u64()), (Some("kernels"), Some(count as u64)));

    let mut names = BTreeSet::new();
    for entry in fs::read_dir(place.path("kernels")).unwrap() {
        names.insert(entry.unwrap().file_name().into_string().unwrap());
    }
    assert_eq!(names.len(), count);
    let mut numbers = std::collections::BTreeMap::new();
    for form in &forms {
        let number: &mut usize = numbers.entry(form.name()).or_default();
        let name = format!("kernels/{}-{number}-u{}", form.name(), form.uniform_binding());
        *number += 1;
        let wgsl = fs::read_to_string(place.path(&format!("{name}.wgsl"))).unwrap();
        // The form is said in a comment, and the rest is what is compiled.
        assert!(wgsl.starts_with("// ") && wgsl.ends_with(&form.text()), "{name}");
        let spirv = fs::read(place.path(&format!("{name}.spv"))).unwrap();
        assert_eq!(spirv[..4], 0x0723_0203u32.to_le_bytes(), "{name}: the magic number of SPIR-V");
        assert!(spirv.len() > 1000 && spirv.len().is_multiple_of(4), "{name}: {} bytes", spirv.len());
    }
    // One of each kernel, as naga reads it from the file.
    for kernel in numbers.keys() {
        let name =
            names.iter().find(|name| name.starts_with(&format!("{kernel}-0-u")) && name.ends_with(".wgsl")).unwrap();
        let wgsl = fs::read_to_string(place.path("kernels").join(name)).unwrap();
        let module = naga::front::wgsl::parse_str(&wgsl).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(module.entry_points.len(), 1, "{name}");
    }

    // A second time into the same folder: its files are replaced, and one that is no longer written goes.
    fs::rename(place.path("kernels/widen-0-u2.wgsl"), place.path("kernels/widen-99-u2.wgsl")).unwrap();
    let again = place.run(&["doctor", "--kernels", "kernels"]);
    succeeded(&again);
    assert!(text(&again.stdout).starts_with(&format!("{count} files in kernels: ")), "{}", text(&again.stdout));
    assert_eq!(fs::read_dir(place.path("kernels")).unwrap().count(), count);

    // A call that is cut off while it writes a file leaves nothing that the next one takes for somebody else's.
    let cut = "kernels/widen-0-u2.spv";
    let whole = fs::read(place.path(cut)).unwrap();
    let mut command = place.command(&["doctor", "--kernels", "kernels"]);
    let killed = command.env("PSEUDOWORD_FAILPOINTS", "widen-0-u2.spv:half=die").output().unwrap();
    assert!(!killed.status.success());
    assert_eq!(fs::read(place.path(cut)).unwrap(), whole[..whole.len() / 2]);
    succeeded(&place.run(&["doctor", "--kernels", "kernels"]));
    assert_eq!(fs::read(place.path(cut)).unwrap(), whole);
    assert_eq!(fs::read_dir(place.path("kernels")).unwrap().count(), count);

    // A file is not a folder, as everywhere else.
    place.file("file", b"mine");
    let output = place.run(&["doctor", "--kernels", "file"]);
    refused(&output, 7, &["file is a file, not a folder"]);

    // A folder of other things is left alone.
    place.file("mine/notes.txt", b"notes");
    let refused = place.run(&["doctor", "--kernels", "mine"]);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("notes.txt"), "{}", text(&refused.stderr));
    assert_eq!(fs::read_dir(place.path("mine")).unwrap().count(), 1);
}
