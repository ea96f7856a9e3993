//! Ops that move values about.

use burn::tensor::{Int, Tensor};

use super::{Origin, Var};

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

/// The last axis of `x` `[.., a + b + ..]` in parts of these widths: `[.., a]`, `[.., b]` and so on.
pub fn columns<const D: usize>(x: &Var<D>, widths: &[usize]) -> Vec<Var<D>> {
    let dims = x.dims();
    debug_assert_eq!(widths.iter().sum::<usize>(), dims[D - 1]);
    if widths.len() == 1 {
        return vec![x.clone()];
    }
    let first = |i: usize| widths[..i].iter().sum();
    let part = |(i, width): (usize, &usize)| x.value().clone().narrow(D - 1, first(i), *width);
    let values = widths.iter().enumerate().map(part).collect();
    let (link, widths) = (x.link(), widths.to_vec());
    Var::from_op_with_results(values, &[x], move |dys, gradients| {
        gradients.add(&link, || {
            let given = dys.iter().flatten().next().expect("a result's gradient brought us here").device();
            let part = |(dy, width): (Option<Tensor<D>>, usize)| {
                let mut shape = dims;
                shape[D - 1] = width;
                dy.unwrap_or_else(|| Tensor::zeros(shape, &given))
            };
            Tensor::cat(dys.into_iter().zip(widths).map(part).collect(), D - 1)
        });
    })
}

/// Some values side by side along their last axis: what [`columns`] takes apart.
pub fn side_by_side<const D: usize>(parts: &[Var<D>]) -> Var<D> {
    if let [only] = parts {
        return only.clone();
    }
    let y = Tensor::cat(parts.iter().map(|part| part.value().clone()).collect(), D - 1);
    let links: Vec<_> = parts.iter().map(|part| (part.link(), part.dims()[D - 1])).collect();
    let inputs: Vec<&dyn Origin> = parts.iter().map(|part| part as &dyn Origin).collect();
    Var::from_op(y, &inputs, move |dy, gradients| {
        let mut first = 0;
        for (link, width) in &links {
            gradients.add(link, || dy.clone().narrow(D - 1, first, *width));
            first += width;
        }
    })
}

/// One row of each sample of `x` `[B, T, D]`, at its place in T: `[B, D]`.
pub fn take_rows(x: &Var<3>, places: &[usize]) -> Var<2> {
    let [batch, length, _] = x.dims();
    debug_assert!(places.len() == batch && places.iter().all(|place| *place < length));
    let rows: Vec<usize> = places.iter().enumerate().map(|(i, place)| i * length + place).collect();
    rows_at(x, &rows)
}

/// Some rows of `x` `[B, T, D]`, `[N, D]`, by their places in `B * T`.
pub fn rows_at(x: &Var<3>, places: &[usize]) -> Var<2> {
    let [batch, length, width] = x.dims();
    let rows: Vec<i32> = places.iter().map(|place| *place as i32).collect();
    let rows = Tensor::<1, Int>::from_ints(rows.as_slice(), &x.value().device());
    let y = x.value().clone().reshape([batch * length, width]).select(0, rows.clone());
    let link = x.link();
    Var::from_op(y, &[x], move |dy, gradients| {
        gradients.add(&link, || {
            let zeros = Tensor::zeros([batch * length, width], &dy.device());
            let dx = zeros.select_assign(0, rows, dy, burn::tensor::IndexingUpdateOp::Add);
            dx.reshape([batch, length, width])
        });
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
