//! The interface is described, and a change to it is seen: the description is snapshotted.

#[test]
fn the_description_is_as_agreed() {
    let mut document = serde_json::to_value(umsicht::central::api::openapi()).unwrap();
    document["info"]["version"] = "(version)".into();
    insta::assert_snapshot!(serde_json::to_string_pretty(&document).unwrap());
}

#[test]
fn every_resource_of_the_contract_is_there() {
    let document = serde_json::to_value(umsicht::central::api::openapi()).unwrap();
    for path in [
        "status",
        "defects",
        "defects/{id}",
        "network",
        "evidence/{event_id}",
        "rejected",
        "dangers",
        "coverage",
        "devices",
        "events",
    ] {
        assert!(document["paths"][format!("/api/v1/{path}")]["get"].is_object(), "{path}");
    }
    assert!(document["paths"]["/api/v1/dangers/{id}/acknowledge"]["post"].is_object());
}
