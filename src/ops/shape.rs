//! Ops that move values about.

use burn::tensor::{Int, Tensor};

use super::Var;

/// Each pixel of `[B, H, W, C]` becomes a square of four, of which `[to height, to width]` are kept: twice as many rows
/// and columns, or one less.
///
/// To an odd size that is what `interpolate(size=..., mode="nearest")` of PyTorch gives: row `i` of `2 n - 1` comes from
/// row `floor(i n / (2 n - 1))`, which is `floor(i / 2)`.
pub fn upsample_nearest_2x(x: &Var<4>, [to_height, to_width]: [usize; 2]) -> Var<4> {
    let [batch, height, width, channels] = x.dims();
    // In channels-last memory, doubling a row or a column is repeating a block: [BH, 1, W, 1, C] to [BH, 2, W, 2, C].
    let y = x.value().clone().reshape([batch * height, 1, width, 1, channels]);
    let y = y.repeat(&[1, 2, 1, 2, 1]).reshape([batch, 2 * height, 2 * width, channels]);
    let (less_high, less_wide) = (2 * height - to_height, 2 * width - to_width);
    let y = if less_high > 0 { y.narrow(1, 0, to_height) } else { y };
    let y = if less_wide > 0 { y.narrow(2, 0, to_width) } else { y };
    let link = x.link();
    Var::from_op(y, &[x], move |dy, gradients| {
        gradients.add(&link, || {
            let padded = |dy: Tensor<4>, dim: usize, less: usize| {
                let mut shape = dy.dims();
                shape[dim] = less;
                let zeros = (less > 0).then(|| Tensor::zeros(shape, &dy.device()));
                zeros.map_or_else(|| dy.clone(), |zeros| Tensor::cat(vec![dy.clone(), zeros], dim))
            };
            let dy = padded(padded(dy, 2, less_wide), 1, less_high);
            let dy = dy.reshape([batch * height, 2, width, 2, channels]);
            dy.sum_dim(1).sum_dim(3).reshape([batch, height, width, channels])
        });
    })
}

/// Two feature maps of the same size, channel after channel: `[B, H, W, Ca + Cb]`.
pub fn concat_channels(a: &Var<4>, b: &Var<4>) -> Var<4> {
    let y = Tensor::cat(vec![a.value().clone(), b.value().clone()], 3);
    let (first, second) = (a.dims()[3], b.dims()[3]);
    let (a_link, b_link) = (a.link(), b.link());
    Var::from_op(y, &[a, b], move |dy, gradients| {
        gradients.add(&a_link, || dy.clone().narrow(3, 0, first));
        gradients.add(&b_link, || dy.narrow(3, first, second));
    })
}

/// Puts learned rows in place of some of the embeddings of a batch of prompts.
///
/// `base` is `[B, T, D]` with anything at the places that are replaced; `rows` is `[K, D]`; `places` lists
/// `(position in B * T, row)`. The gradient to a row is the sum over its places.
pub fn splice(base: Tensor<3>, rows: &Var<2>, places: &[(usize, usize)]) -> Var<3> {
    if places.is_empty() {
        return Var::constant(base);
    }
    let [batch, length, width] = base.dims();
    let [count, _] = rows.dims();
    let device = base.device();
    let indices = |pick: fn(&(usize, usize)) -> usize| -> Tensor<1, Int> {
        let values: Vec<i32> = places.iter().map(|place| pick(place) as i32).collect();
        Tensor::from_ints(values.as_slice(), &device)
    };
    // Row `B T + k` of the extended table is learned row k: one gather makes the batch.
    let mut order: Vec<i32> = (0..(batch * length) as i32).collect();
    for &(position, row) in places {
        order[position] = (batch * length + row) as i32;
    }
    let table = Tensor::cat(vec![base.reshape([batch * length, width]), rows.value().clone()], 0);
    let y = table.select(0, Tensor::<1, Int>::from_ints(order.as_slice(), &device));
    let (positions, targets) = (indices(|place| place.0), indices(|place| place.1));
    let link = rows.link();
    Var::from_op(y.reshape([batch, length, width]), &[rows], move |dy, gradients| {
        gradients.add(&link, || {
            let taken = dy.reshape([batch * length, width]).select(0, positions);
            let zeros = Tensor::zeros([count, width], &taken.device());
            zeros.select_assign(0, targets, taken, burn::tensor::IndexingUpdateOp::Add)
        });
    })
}
