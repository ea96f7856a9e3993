//! Products of activations, by the crate `gemm`. Those with frozen weights are in [`super::product`].

/// How a matrix lies in a slice: element `(i, j)` is at `offset + i * row + j * column`.
#[derive(Clone, Copy)]
pub(crate) struct View {
    pub offset: usize,
    pub row: usize,
    pub column: usize,
}

impl View {
    /// Rows one after the other, `width` elements each.
    pub(crate) fn rows(width: usize) -> Self {
        Self { offset: 0, row: width, column: 1 }
    }

    /// The same memory, read with rows and columns exchanged.
    pub(crate) fn transposed(self) -> Self {
        Self { row: self.column, column: self.row, ..self }
    }

    /// The same layout, further into the slice.
    pub(crate) fn at(self, offset: usize) -> Self {
        Self { offset: self.offset + offset, ..self }
    }

    fn fits(self, rows: usize, columns: usize, length: usize) -> bool {
        rows == 0 || columns == 0 || self.offset + (rows - 1) * self.row + (columns - 1) * self.column < length
    }
}

/// `out = factor * a b (+ out if accumulate)` for `a` of `[m, k]`, `b` of `[k, n]`, `out` of `[m, n]`.
#[allow(clippy::too_many_arguments, reason = "a matrix product has three matrices, three sizes and their layouts")]
pub(crate) fn gemm(
    [m, n, k]: [usize; 3],
    (out, out_view): (&mut [f32], View),
    accumulate: bool,
    (a, a_view): (&[f32], View),
    (b, b_view): (&[f32], View),
    factor: f32,
    parallel: bool,
) {
    assert!(out_view.fits(m, n, out.len()), "the product lies inside the output");
    assert!(a_view.fits(m, k, a.len()) && b_view.fits(k, n, b.len()), "the factors lie inside their slices");
    let parallelism = if parallel { gemm::Parallelism::Rayon(0) } else { gemm::Parallelism::None };
    // SAFETY: the three assertions above bound every address that is read or written; `out` is borrowed exclusively.
    #[allow(unsafe_code, reason = "the crate `gemm` takes pointers; the bounds are asserted above")]
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr().add(out_view.offset),
            out_view.column as isize,
            out_view.row as isize,
            accumulate,
            a.as_ptr().add(a_view.offset),
            a_view.column as isize,
            a_view.row as isize,
            b.as_ptr().add(b_view.offset),
            b_view.column as isize,
            b_view.row as isize,
            1.0,
            factor,
            false,
            false,
            false,
            parallelism,
        );
    }
}
