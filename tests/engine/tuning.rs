//! Which tiles products are made in: measured on a device, remembered in a file.

use pseudoword::gpu::tuning::{Tuning, tune};
use pseudoword::gpu::{self, DeviceChoice};
use pseudoword::ops::{self, SoftwareGpu, Tiles};

use crate::fixtures::gpu as in_turn;

#[test]
fn tiles_are_measured_remembered_and_measured_again_when_the_file_is_damaged() {
    let _turn = in_turn();
    let chosen = gpu::choose(DeviceChoice::Gpu).expect("a GPU");
    let folder = tempfile::tempdir().unwrap();
    let tuned = |again: bool| {
        let begun = std::time::Instant::now();
        let tuning = pollster::block_on(tune(&chosen, Some(folder.path()), again)).expect("a GPU");
        println!("{:.2} s: {}", begun.elapsed().as_secs_f64(), tuning.sentence());
        assert!(tuning.tiles().is_none() || tuning.tiles() == ops::tiles(&chosen.device), "it is used from now on");
        tuning
    };
    // On a software GPU products are made in blocks, whatever is requested.
    ops::with_blocks(Some(SoftwareGpu::Lavapipe), || assert!(matches!(tuned(true), Tuning::Blocks)));
    assert!(ops::with_reference(|| matches!(tuned(true), Tuning::Burn)));

    ops::with_blocks(None, || {
        let first = tuned(true);
        let Tuning::Measured { measured, kept: Ok(file) } = &first else { panic!("{first:?}") };
        let again = tuned(false);
        let Tuning::Remembered { tiles, kept } = &again else { panic!("{again:?}") };
        assert_eq!((tiles, kept), (&measured.tiles, file));

        // Whatever another start finds there of use or not, it is not taken for a choice.
        std::fs::write(file, "{").unwrap();
        let software = gpu::started(&chosen).expect("it runs").info().device_type == wgpu::DeviceType::Cpu;
        if software {
            assert!(matches!(tuned(false), Tuning::Usual), "a software GPU is measured on request only");
        }
        assert!(matches!(tuned(software), Tuning::Measured { .. }));
        assert!(matches!(tuned(false), Tuning::Remembered { .. }));
    });
    ops::choose_tiles(&chosen.device, Tiles::default());
}

#[test]
fn the_processor_has_nothing_to_tune() {
    let chosen = gpu::choose(DeviceChoice::Cpu).expect("a processor");
    assert!(pollster::block_on(tune(&chosen, None, true)).is_none());
}
