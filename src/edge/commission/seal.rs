//! Signs a report so that whoever reads it later sees that it is whole, and where not.
//!
//! Each part of the report has its SHA-256, and the list of these is signed (Ed25519, with a key as `umsicht models keygen` makes
//! it). So a change does not only break the signature: the part that was changed is named. A part is an entry of the
//! report, or of its sections `objects`, `circumstances`, `summary` and `limits`. What is hashed is a part's meaning: keys in
//! order, numbers to nine decimals; spaces and line breaks do not matter.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::edge::update::key::{PrivateKey, PublicKey};

/// What is signed begins with it, so that no other signature by the same key passes for one of these.
const PREFIX: &str = "umsicht-commissioning-report-1\n";
const DIVIDED: [&str; 4] = ["objects", "circumstances", "summary", "limits"];

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("is no signed report: {0}")]
    NotAReport(String),
    #[error(
        "the signature does not belong to this public key, or the list of digests was changed; ask who signed it for the public key"
    )]
    ForeignSignature { changed: Vec<String> },
    #[error("was changed after it was signed: {}", changed.join(", "))]
    Changed { changed: Vec<String> },
}

/// The report with its digests and the signature over them.
#[must_use]
pub fn seal(report: &Value, key: &PrivateKey) -> Value {
    let digests = digests(report);
    let signature = hex(&key.sign(message(&digests).as_bytes()));
    serde_json::json!({ "report": report, "digests": digests, "signature": signature })
}

/// Returns the report if it is whole and signed with the private key that belongs to `key`.
pub fn verify(text: &str, key: &PublicKey) -> Result<Value, SealError> {
    let not = |why: &str| SealError::NotAReport(why.to_owned());
    let sealed: Value = serde_json::from_str(text).map_err(|e| not(&e.to_string()))?;
    let report = sealed.get("report").filter(|r| r.is_object()).ok_or_else(|| not("it has no report"))?;
    let listed = sealed.get("digests").and_then(Value::as_object).ok_or_else(|| not("it has no digests"))?;
    let listed: Option<BTreeMap<String, String>> =
        listed.iter().map(|(part, digest)| Some((part.clone(), digest.as_str()?.to_owned()))).collect();
    let listed = listed.ok_or_else(|| not("its digests are no texts"))?;
    let signature = sealed.get("signature").and_then(Value::as_str).and_then(bytes);
    let signature = signature.ok_or_else(|| not("it has no signature"))?;
    let changed = differences(&listed, &digests(report));
    if !key.has_signed(message(&listed).as_bytes(), &signature) {
        return Err(SealError::ForeignSignature { changed });
    }
    if changed.is_empty() { Ok(report.clone()) } else { Err(SealError::Changed { changed }) }
}

fn differences(listed: &BTreeMap<String, String>, found: &BTreeMap<String, String>) -> Vec<String> {
    let mut told: Vec<String> = listed
        .iter()
        .filter_map(|(part, digest)| match found.get(part) {
            None => Some(format!("{part} was removed")),
            Some(now) if now != digest => Some(part.clone()),
            Some(_) => None,
        })
        .collect();
    told.extend(found.keys().filter(|part| !listed.contains_key(*part)).map(|part| format!("{part} was added")));
    told
}

fn digests(report: &Value) -> BTreeMap<String, String> {
    let mut digests = BTreeMap::new();
    let empty = Map::new();
    for (key, value) in report.as_object().unwrap_or(&empty) {
        match value.as_object().filter(|_| DIVIDED.contains(&key.as_str())) {
            Some(parts) => {
                for (part, value) in parts {
                    digests.insert(format!("{key}.{part}"), digest(value));
                }
            }
            None => {
                digests.insert(key.clone(), digest(value));
            }
        }
    }
    digests
}

fn message(digests: &BTreeMap<String, String>) -> String {
    let mut text = PREFIX.to_owned();
    for (part, digest) in digests {
        // A name is written as JSON, so that no name can look like another line.
        let _ = writeln!(text, "{} {digest}", Value::from(part.as_str()));
    }
    text
}

fn digest(value: &Value) -> String {
    let mut text = String::new();
    canonical(value, &mut text);
    hex(&Sha256::digest(text.as_bytes()))
}

fn canonical(value: &Value, text: &mut String) {
    match value {
        Value::Number(number) if number.is_f64() => {
            let _ = write!(text, "{:.9}", number.as_f64().unwrap_or(f64::NAN));
        }
        Value::Array(items) => {
            text.push('[');
            for item in items {
                canonical(item, text);
                text.push(',');
            }
            text.push(']');
        }
        Value::Object(map) => {
            let sorted: BTreeMap<&String, &Value> = map.iter().collect();
            text.push('{');
            for (key, item) in sorted {
                let _ = write!(text, "{}:", Value::from(key.as_str()));
                canonical(item, text);
                text.push(',');
            }
            text.push('}');
        }
        plain => {
            let _ = write!(text, "{plain}");
        }
    }
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = hex.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect();
    let digits = digits.filter(|d| d.len() % 2 == 0)?;
    Some(digits.chunks_exact(2).map(|pair| (pair[0] << 4) | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::update::key;
    use serde_json::json;

    fn pair() -> (PrivateKey, PublicKey) {
        let folder = tempfile::tempdir().unwrap();
        let (private, public) = (folder.path().join("private"), folder.path().join("public"));
        key::generate(&private, &public).unwrap();
        (PrivateKey::read(&private).unwrap(), PublicKey::read(&public).unwrap())
    }

    fn report() -> Value {
        json!({
            "accepted": true,
            "objections": [],
            "summary": {"found": 9, "median_metres": 0.812, "scale_bias": -0.041},
            "circumstances": {"who": "A. Meier", "models": [{"sha256": "ab"}]},
            "objects": {"gully-3": {"lat": 50.021_537_1, "found": null}, "hole \"2\"": {"lat": 50.0, "found": {"left_metres": 0.1}}},
        })
    }

    #[test]
    fn a_whole_report_passes_however_it_is_laid_out() {
        let (private, public) = pair();
        let sealed = seal(&report(), &private);
        for text in [sealed.to_string(), serde_json::to_string_pretty(&sealed).unwrap()] {
            assert_eq!(verify(&text, &public).unwrap(), report());
        }
    }

    /// What it is, how it is done, and what must be named.
    type Change = (&'static str, fn(&mut Value), &'static str);

    #[test]
    fn each_change_is_named() {
        let (private, public) = pair();
        let sealed = seal(&report(), &private);
        let changes: [Change; 6] = [
            ("accepted", |r| r["accepted"] = json!(false), "accepted"),
            ("a number", |r| r["summary"]["median_metres"] = json!(0.811), "summary.median_metres"),
            ("an object", |r| r["objects"]["hole \"2\""]["found"]["left_metres"] = json!(0.0), "objects.hole \"2\""),
            ("less", |r| drop(r["objects"].as_object_mut().unwrap().remove("gully-3")), "objects.gully-3 was removed"),
            ("more", |r| r["objects"]["b"] = json!({}), "objects.b was added"),
            ("who", |r| r["circumstances"]["who"] = json!("B. Huber"), "circumstances.who"),
        ];
        for (what, change, wanted) in changes {
            let mut changed = sealed.clone();
            change(&mut changed["report"]);
            let error = verify(&changed.to_string(), &public).unwrap_err();
            assert_eq!(error, SealError::Changed { changed: vec![wanted.to_owned()] }, "{what}");
            // Whoever changes the digests as well breaks the signature.
            changed["digests"] = json!(digests(&changed["report"]));
            let error = verify(&changed.to_string(), &public).unwrap_err();
            assert!(matches!(error, SealError::ForeignSignature { .. }), "{what}: {error}");
        }
    }

    #[test]
    fn another_key_and_other_texts_are_refused() {
        let (private, _) = pair();
        let (_, other) = pair();
        let sealed = seal(&report(), &private).to_string();
        assert_eq!(verify(&sealed, &other).unwrap_err(), SealError::ForeignSignature { changed: Vec::new() });
        for text in ["", "[]", "{}", "{\"report\": {}, \"digests\": {}, \"signature\": \"0\"}"] {
            assert!(matches!(verify(text, &other).unwrap_err(), SealError::NotAReport(_)), "{text}");
        }
    }
}
