//! The kinds of cases that several tests have, each in sizes of its own: a line for each.

/// A linear layer, with this many outputs.
macro_rules! linear {
    ($name:literal, $shape:expr, $kept:expr, $outputs:expr) => {
        $crate::ops::self_test::Case {
            name: $name,
            shape: $shape,
            op: |x, numbers| $crate::ops::self_test::linear_layer(x, numbers, $kept, $outputs),
            by_hand: |x, [.., channels]| $crate::ops::self_test::linear_by_hand(x, $kept, channels, $outputs),
        }
    };
}

/// A convolution of every so many pixels, with this many outputs.
macro_rules! convolution {
    ($name:literal, $shape:expr, $kept:expr, $stride:expr, $outputs:expr) => {
        $crate::ops::self_test::Case {
            name: $name,
            shape: $shape,
            op: |x, numbers| $crate::ops::self_test::convolution(x, numbers, $kept, $stride, $outputs),
            by_hand: |x, shape| $crate::ops::self_test::convolution_by_hand(x, shape, $kept, $stride, $outputs),
        }
    };
}

/// A gated MLP behind a normalisation.
macro_rules! gated {
    ($name:literal, $shape:expr, $kept:expr) => {
        $crate::ops::self_test::Case {
            name: $name,
            shape: $shape,
            op: |x, numbers| $crate::ops::self_test::fused::gated(x, numbers, $kept),
            by_hand: |x, shape| $crate::ops::self_test::fused::gated_by_hand(x, shape, $kept),
        }
    };
}

/// An attention and an MLP behind normalisations.
macro_rules! block {
    ($name:literal, $shape:expr, $kept:expr) => {
        $crate::ops::self_test::Case {
            name: $name,
            shape: $shape,
            op: |x, numbers| $crate::ops::self_test::fused::block(x, numbers, $kept),
            by_hand: |x, shape| $crate::ops::self_test::fused::block_by_hand(x, shape, $kept),
        }
    };
}

/// An attention of the pixels to each other.
macro_rules! self_attention {
    ($name:literal, $shape:expr, $heads:expr, $causal:expr) => {
        $crate::ops::self_test::Case {
            name: $name,
            shape: $shape,
            op: |x, numbers| $crate::ops::self_test::self_attention(x, numbers, $heads, $causal),
            by_hand: |x, shape| $crate::ops::self_test::self_attention_by_hand(x, shape, $heads, $causal),
        }
    };
}
