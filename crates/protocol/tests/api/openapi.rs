//! The description, read as a tool would.

use std::collections::BTreeSet;

use serde_json::Value;
use throng_protocol::api::{ApiRequest, openapi};

fn document() -> Value {
    serde_json::from_str(&openapi("/api")).expect("JSON")
}

fn keys(object: &Value) -> BTreeSet<&str> {
    object.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// Calls `each` with every value in `value`, and its key.
fn visit<'a>(key: &'a str, value: &'a Value, each: &mut impl FnMut(&'a str, &'a Value)) {
    each(key, value);
    match value {
        Value::Object(members) => members.iter().for_each(|(key, value)| visit(key, value, each)),
        Value::Array(items) => items.iter().for_each(|item| visit("", item, each)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_method_is_a_post_with_request_and_result() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["servers"][0]["url"], "/api");
    let paths: Vec<String> = ApiRequest::methods().map(|method| format!("/{method}")).collect();
    assert_eq!(keys(&document["paths"]), paths.iter().map(String::as_str).collect());
    for path in &paths {
        let post = &document["paths"][path]["post"];
        assert_eq!(post["operationId"], path[1..]);
        assert!(post["summary"].as_str().is_some_and(|summary| summary.ends_with('.')), "{path}");
        let request = &post["requestBody"]["content"]["application/json"]["schema"]["$ref"];
        assert!(request.as_str().is_some_and(|name| name.ends_with("Request")), "{path}");
        assert!(post["responses"]["200"]["content"]["application/json"]["schema"].is_object(), "{path}");
        let statuses = ["200", "400", "401", "404", "405", "408", "413", "503"];
        assert_eq!(keys(&post["responses"]), BTreeSet::from(statuses));
    }
}

#[test]
fn every_reference_leads_to_something_and_everything_is_referred_to() {
    let document = document();
    let mut found = BTreeSet::new();
    visit("", &document, &mut |key, value| {
        if key == "$ref" {
            let path =
                value.as_str().and_then(|path| path.strip_prefix('#')).expect("a path in the document");
            assert!(document.pointer(path).is_some_and(Value::is_object), "{path}");
            found.insert(path.to_owned());
        }
    });
    for section in ["schemas", "responses"] {
        for name in keys(&document["components"][section]) {
            assert!(found.contains(&format!("/components/{section}/{name}")), "{name}");
        }
    }
}

#[test]
fn descriptions_are_sentences_for_people_who_do_not_read_rust() {
    let mut count = 0;
    visit("", &document(), &mut |key, value| {
        if let (true, Some(text)) = (key == "description", value.as_str()) {
            count += 1;
            assert!(text.ends_with('.') && !text.contains("](") && !text.contains("::"), "{text}");
        }
    });
    assert!(count > 100);
}

#[test]
fn all_ways_to_send_the_key_are_named() {
    let document = document();
    let names: BTreeSet<_> = (document["components"]["securitySchemes"].as_object().expect("an object"))
        .values()
        .map(|scheme| scheme["name"].as_str().expect("a name"))
        .collect();
    assert_eq!(names, BTreeSet::from(["Authorization", "X-API-Key", "api_key"]));
    let ways = document["security"].as_array().expect("a list");
    assert_eq!(ways.len(), 3, "each is enough");
}

#[test]
fn results_and_errors_have_their_envelopes() {
    let document = document();
    let answer = |method: &str| {
        document["paths"][format!("/{method}")]["post"]["responses"]["200"]["content"]["application/json"]
            ["schema"]
            .clone()
    };
    let publish = answer("publish");
    assert_eq!(publish["oneOf"][0]["required"][0], "result");
    assert_eq!(publish["oneOf"][0]["properties"]["result"]["$ref"], "#/components/schemas/PublishResult");
    assert_eq!(publish["oneOf"][1]["$ref"], "#/components/schemas/ErrorResponse");
    let error = &document["components"]["schemas"]["ErrorResponse"];
    assert_eq!(error["required"][0], "error");
    assert!(error["description"].as_str().is_some_and(|text| text.contains("104 not found")));
    assert_eq!(answer("batch")["$ref"], "#/components/schemas/BatchResult");
}

#[test]
fn kinds_of_fields_are_those_of_json() {
    let document = document();
    let schemas = &document["components"]["schemas"];
    let publish = &schemas["PublishRequest"]["properties"];
    assert_eq!(publish["channel"]["type"], "string");
    assert_eq!(publish["delta"]["type"], "boolean");
    assert_eq!(publish["version"]["maximum"], u64::MAX);
    assert_eq!(publish["tags"]["additionalProperties"]["type"], "string");
    assert_eq!(keys(&publish["data"]), BTreeSet::from(["description"]), "any JSON");
    assert_eq!(schemas["HistoryRequest"]["properties"]["limit"]["minimum"], i32::MIN);
    assert_eq!(schemas["Process"]["properties"]["cpu"]["type"], "number");
    assert_eq!(
        schemas["SubscribeRequest"]["properties"]["override"]["$ref"],
        "#/components/schemas/Override"
    );
    assert_eq!(schemas["HistoryResult"]["required"], serde_json::json!(["publications", "epoch", "offset"]));
    let command = &schemas["BatchRequest"]["properties"]["commands"]["items"]["$ref"];
    assert_eq!(command, "#/components/schemas/BatchCommand");
    assert_eq!(schemas["BatchCommand"]["properties"].as_object().map(serde_json::Map::len), Some(23));
    assert_eq!(keys(&schemas["PublishResponse"]["properties"]), BTreeSet::from(["error", "result"]));
}
