//! What about pictures is likely to disappoint, although they can be learned from. (What is seen of a picture is decided in
//! `image/look.rs`.)

use super::TrainInput;
use crate::event::{Event, WarningCode};
use crate::image::{Picture, are_alike};

/// With fewer pictures than this, the thing can rarely be distinguished from its picture.
const FEW: usize = 3;

/// What a user should know of the pictures of a run; `side` is what the model works at.
pub fn about_pictures(input: &TrainInput, side: u32) -> Vec<Event> {
    let [pictures, unseen]: [Vec<&Picture>; 2] =
        [&input.pictures, &input.unseen].map(|set| set.iter().map(|picture| &picture.picture).collect());
    let mut events: Vec<Event> = few(pictures.len()).into_iter().collect();
    events.extend(about_pixels(&pictures, side));
    events.extend([pictures, unseen].iter().flat_map(|set| twice(set)));
    events
}

/// A warning about too few pictures; for none there is an error.
fn few(count: usize) -> Option<Event> {
    let what = if count == 1 { "only 1 picture".to_owned() } else { format!("only {count} pictures") };
    let text = format!("{what}: with 3 to 5 different ones the embedding learns the thing rather than the picture");
    (1..FEW).contains(&count).then(|| Event::warning(WarningCode::FewPictures, text))
}

/// What is to be seen of each of some pictures: that it is too small, or blurred.
pub fn about_pixels(pictures: &[&Picture], side: u32) -> Vec<Event> {
    let short = |picture: &Picture| picture.pixels.width().min(picture.pixels.height());
    let among = |concerned: &dyn Fn(&Picture) -> bool| -> Vec<&Picture> {
        pictures.iter().copied().filter(|picture| concerned(picture)).collect()
    };
    let small = among(&|picture| short(picture) < side);
    let small = small.first().map(|first| match (small.len(), &first.name, short(first)) {
        (1, name, size) => {
            format!("{name} is only {size} pixels wide or high, the model works at {side}: detail will be missing")
        }
        (count, name, size) => format!(
            "{count} pictures are smaller than the {side} pixels that the model works at, such as {name} ({size})"
        ),
    });
    let blurred = among(&|picture| picture.is_blurred(side));
    let blurred = blurred.first().map(|first| {
        let (name, consequence) = (&first.name, "what is learned from it is blurred, too");
        match blurred.len() {
            1 => format!("{name} is blurred, nothing in it is sharp: {consequence}"),
            count => format!("{count} pictures are blurred, such as {name}, in which nothing is sharp: {consequence}"),
        }
    });
    let small = small.map(|text| Event::warning(WarningCode::SmallPictures, text));
    small.into_iter().chain(blurred.map(|text| Event::warning(WarningCode::BlurredPictures, text))).collect()
}

/// Warnings about pictures that are there twice, in other sizes too: each with the first that it is like.
fn twice(pictures: &[&Picture]) -> Vec<Event> {
    let prints: Vec<Vec<u8>> = pictures.iter().map(|picture| picture.fingerprint()).collect();
    let same = |i: usize| {
        let first = prints[..i].iter().position(|print| are_alike(print, &prints[i]))?;
        let (one, other) = (&pictures[first].name, &pictures[i].name);
        let text = format!("{one} and {other} are the same picture, which then counts twice");
        Some(Event::warning(WarningCode::SamePicture, text))
    };
    (1..pictures.len()).filter_map(same).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::TrainPicture;
    use image::imageops::{FilterType, blur, resize};

    fn said(pictures: &[Picture], side: u32) -> Vec<(WarningCode, String)> {
        let picture = |picture: &Picture| TrainPicture { picture: picture.clone(), caption: None, mask: None };
        let input = TrainInput { pictures: pictures.iter().map(picture).collect(), ..TrainInput::default() };
        let text = |event| match event {
            Event::Warning { code, text } => (code, text),
            other => panic!("{other:?}"),
        };
        about_pictures(&input, side).into_iter().map(text).collect()
    }

    #[test]
    fn each_kind_of_disappointment_is_said_once() {
        let read = |name: &str| {
            let bytes = std::fs::read(format!("examples/peach/{name}.png")).unwrap();
            Picture::decode(name, &bytes).unwrap()
        };
        let four = ["noto", "3d", "flat", "twemoji"].map(read);
        assert_eq!(said(&four, 256), []);
        let small = said(&four, 512);
        assert_eq!(small.len(), 1, "{small:?}");
        assert!(small[0].1.starts_with("4 pictures are smaller than the 512 pixels") && small[0].1.contains("(256)"));

        let soft = Picture::new("soft", blur(&*four[0].on_white(), 3.0));
        let copy = Picture::new("copy", resize(&*four[1].on_white(), 200, 200, FilterType::Triangle));
        let all = said(&[four[1].clone(), soft.clone(), copy.clone()], 200);
        let codes: Vec<WarningCode> = all.iter().map(|(code, _)| *code).collect();
        assert_eq!(codes, [WarningCode::BlurredPictures, WarningCode::SamePicture], "{all:?}");
        assert!(all[0].1.starts_with("soft is blurred") && all[1].1.starts_with("3d and copy are the same picture"));
        let two = said(&[soft.clone(), Picture { name: "again".to_owned(), ..soft }], 200);
        assert!(two.iter().any(|(_, text)| text.starts_with("2 pictures are blurred, such as soft")), "{two:?}");
        assert!(two[0].1.starts_with("only 2 pictures: "), "{two:?}");
        assert_eq!(said(&[copy], 256)[0].1.split(':').next(), Some("only 1 picture"));
    }
}
