//! Which of the known names one that nobody knows is likely to be meant for.

/// The known name that is most like another, if one is at all.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = letters(name);
    let distances = known.into_iter().filter_map(|other| Some((alikeness(&wanted, &letters(other))?, other)));
    distances.min_by_key(|(distance, _)| *distance).map(|(_, other)| other)
}

/// Whether two names are likely to be meant for one another.
pub fn alike(name: &str, other: &str) -> bool {
    alikeness(&letters(name), &letters(other)).is_some()
}

/// The letters and digits of a name, in lower case: people mistake the rest.
fn letters(name: &str) -> Vec<char> {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// How many letters two names are apart; none if they are not alike.
fn alikeness(one: &[char], other: &[char]) -> Option<usize> {
    let (short, long) = if one.len() < other.len() { (one, other) } else { (other, one) };
    if short.is_empty() {
        return None;
    }
    let distance = edits(one, other);
    let begins = short.len() >= 4 && long.starts_with(short);
    (distance <= short.len() / 4 || begins).then_some(distance)
}

/// Letters to insert, leave out or change to make one name of another.
fn edits(one: &[char], other: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let changed = before + usize::from(a != b);
            before = row[j + 1];
            row[j + 1] = changed.min(before + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested() {
        let known = ["<my-peach>", "plinkPot_v2", "zubi"];
        assert_eq!(nearest("<mypeach>", known), Some("<my-peach>"));
        assert_eq!(nearest("plinkpot", known), Some("plinkPot_v2"));
        assert_eq!(nearest("zubi", known), Some("zubi"));
        assert_eq!(nearest("<zub>", known), None);
        assert_eq!((nearest("<nobody>", known), nearest("*", known)), (None, None));
        assert!(alike("Plink-Pot", "plinkPot_v2") && !alike("toy", "plinkPot_v2"));
    }
}
