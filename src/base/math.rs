//! The arithmetic that several modules need.

/// The Euclidean norm.
pub fn norm(vector: &[f32]) -> f64 {
    vector.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt()
}

/// The mean Euclidean norm of vectors of a width, one after the other; 0 without vectors.
pub fn mean_norm(vectors: &[f32], width: usize) -> f64 {
    let norms = vectors.chunks_exact(width.max(1)).map(norm);
    let count = norms.len().max(1);
    norms.sum::<f64>() / count as f64
}

/// The median of values in ascending order: the mean of the two in the middle if their number is even. None without
/// values.
pub fn median(sorted: &[f64]) -> Option<f64> {
    let (low, high) = (sorted.len().checked_sub(1)? / 2, sorted.len() / 2);
    Some((sorted[low] + sorted[high]) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_between_two_where_there_are_two() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[1.0, 2.0, 9.0]), Some(2.0));
        assert_eq!(median(&[1.0, 2.0, 4.0, 9.0]), Some(3.0));
        assert_eq!(norm(&[3.0, -4.0]), 5.0);
        assert_eq!((mean_norm(&[3.0, -4.0, 0.0, 1.0], 2), mean_norm(&[], 2)), (3.0, 0.0));
    }
}
