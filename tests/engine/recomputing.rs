//! Recomputing blocks: the same numbers, and nothing kept but block inputs.

use burn::tensor::Tensor;
use pseudoword::ops::{Var, backward, geglu, recompute, silu};

use crate::fixtures::{assert_close, cpu, on_every_device, open, values};

#[test]
fn a_block_runs_again_in_the_backward_pass_and_only_then() {
    use std::cell::Cell;
    use std::rc::Rc;
    let runs = Rc::new(Cell::new(0));
    let device = cpu().device;
    let block = |runs: Rc<Cell<u32>>| {
        move |x: &Var<2>, _: &Var<2>, _: &Var<2>| {
            runs.set(runs.get() + 1);
            silu(x)
        }
    };
    let x = Var::leaf(Tensor::<2>::from_floats([[1.0, -2.0]], &device));
    let y = recompute((&x, &x, &x), block(runs.clone()));
    assert_eq!(runs.get(), 1);
    let mut gradients = backward(&y, Tensor::ones([1, 2], &device));
    assert_eq!(runs.get(), 2);
    assert!(gradients.take(&x).is_some());

    let constant = Var::constant(Tensor::<2>::from_floats([[1.0, -2.0]], &device));
    let y = recompute((&constant, &constant, &constant), block(runs.clone()));
    assert!(!y.is_tracked());
    backward(&y, Tensor::ones([1, 2], &device));
    assert_eq!(runs.get(), 3, "nothing is wanted of a constant, so nothing runs again");
}

#[test]
fn rows_in_parts_give_what_all_rows_give() {
    use pseudoword::ops::recompute_rows;
    on_every_device(|place| {
        let numbers = |shape: [usize; 3], seed: f32| {
            let values: Vec<f32> = (0..shape.iter().product()).map(|i| (i as f32 * seed).sin()).collect();
            Tensor::<1>::from_floats(values.as_slice(), &place.device).reshape(shape)
        };
        let (x, dy) = (numbers([2, 5, 8], 1.3), numbers([2, 5, 4], 0.7));
        // Parts that end within a sample, and one that is all.
        for rows in [1, 3, 10, 64] {
            let run = |block: &dyn Fn(&Var<3>) -> Var<3>| {
                let x = Var::leaf(x.clone());
                let y = block(&x);
                let dx = backward(&y, dy.clone()).take(&x).expect("a gradient");
                [values(y.into_value()), values(dx)]
            };
            let [[y, dx], [y_parts, dx_parts]] = [run(&geglu), run(&|x| recompute_rows(x, rows, geglu))];
            assert_close(&y_parts, &y, place, &format!("{rows} rows"));
            assert_close(&dx_parts, &dx, place, &format!("{rows} rows, gradient"));
        }
        assert!(!recompute_rows(&Var::constant(x.clone()), 3, geglu).is_tracked());
    });
}

#[test]
fn a_training_step_is_the_same_with_and_without() {
    use pseudoword::config::{Checkpointing, TrainConfig};
    use pseudoword::train::{Replay, TrainInput};
    let rows = |checkpointing| {
        let session = open("tiny-sd1", &cpu(), None);
        let config = TrainConfig {
            token: "<thing>".to_owned(),
            init: Some("ball apple".to_owned()),
            vectors: Some(2),
            steps: Some(2),
            batch_size: Some(1),
            preview_every: 0,
            resolution: Some(16),
            checkpointing,
            ..TrainConfig::default()
        };
        let bytes = std::fs::read(crate::fixtures::path("replay-3.safetensors")).expect("the replay");
        let input =
            TrainInput { replay: Some(Replay::read(&bytes, "replay").expect("a replay")), ..TrainInput::default() };
        let mut job = session.train(&config, input).expect("a job");
        pollster::block_on(async { while job.next().await.expect("no error").is_some() {} });
        job.embedding().rows().to_vec()
    };
    let (on, off) = (rows(Checkpointing::On), rows(Checkpointing::Off));
    assert!(crate::fixtures::cosine(&on, &off) > 0.999_999_9);
}
