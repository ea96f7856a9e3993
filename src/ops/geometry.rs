//! Where the windows of a convolution lie.

/// Where the windows of a convolution lie, for inputs of one size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Geometry {
    /// Height and width of the input.
    pub input: [usize; 2],
    /// Height and width of the window.
    pub kernel: [usize; 2],
    /// Pixels between windows.
    pub stride: usize,
    /// Top, left, bottom, right.
    pub padding: [usize; 4],
    /// Height and width of the output.
    pub output: [usize; 2],
}

impl Geometry {
    pub fn new([height, width]: [usize; 2], kernel: [usize; 2], stride: usize, padding: [usize; 4]) -> Self {
        let [top, left, bottom, right] = padding;
        let windows = |size: usize, kernel: usize| (size - kernel) / stride + 1;
        let output = [windows(height + top + bottom, kernel[0]), windows(width + left + right, kernel[1])];
        Self { input: [height, width], kernel, stride, padding, output }
    }
}
