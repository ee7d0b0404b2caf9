//! What was taken for what: labelled classes against found ones at one threshold, whatever class a box was found as. Pure.

use std::collections::BTreeMap;

use crate::edge::detection::Detection;
use crate::models::matching::{self, Fate, Labelled, Rules};

/// A labelled box that nothing found, or a finding where nothing is labelled.
pub const NOTHING: &str = "nothing";

/// Labelled class → found class → boxes. What did not happen is left out.
pub type Confusion = BTreeMap<String, BTreeMap<String, usize>>;

/// Adds one picture; `found` stand best first and above the threshold.
pub fn count(table: &mut Confusion, found: &[Detection], labelled: &[Labelled], rules: &Rules, classes: &[String]) {
    let any_class = Rules { kind_of_class: vec![0; classes.len()], ..rules.clone() };
    let mut add = |labelled: &str, found: &str| {
        *table.entry(labelled.to_owned()).or_default().entry(found.to_owned()).or_default() += 1;
    };
    let mut is_found = vec![false; labelled.len()];
    for (finding, fate) in found.iter().zip(matching::fates(found, labelled, &any_class)) {
        match fate {
            Fate::Found(index) => {
                is_found[index] = true;
                add(&classes[labelled[index].class], &classes[finding.class]);
            }
            Fate::Wrong => add(NOTHING, &classes[finding.class]),
            Fate::LeftOut => {}
        }
    }
    for (label, _) in labelled.iter().zip(is_found).filter(|(label, found)| !label.ignored && !found) {
        add(&classes[label.class], NOTHING);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::detection::BoundingBox;
    use crate::models::matching::Smallest;

    #[test]
    fn each_box_is_counted_once() {
        let square = |x: f32| BoundingBox::new(x, 0.0, x + 10.0, 10.0).unwrap();
        let label = |x, class, ignored| Labelled { box_in_image: square(x), class, ignored };
        let finding = |x, class| Detection { box_in_image: square(x), class, score: 0.9 };
        let labelled = [label(0.0, 0, false), label(100.0, 1, false), label(200.0, 1, false), label(300.0, 0, true)];
        let found = [finding(0.0, 0), finding(101.0, 0), finding(300.0, 1), finding(400.0, 1)];
        let classes = ["D00", "D40"].map(String::from);
        let rules = Rules { kind_of_class: vec![0, 1], min_iou: 0.5, smallest: Smallest::default() };
        let mut table = Confusion::new();
        count(&mut table, &found, &labelled, &rules, &classes);
        let text = serde_json::to_string(&table).unwrap();
        assert_eq!(text, r#"{"D00":{"D00":1},"D40":{"D00":1,"nothing":1},"nothing":{"D40":1}}"#);
    }
}
