//! The values of headers are shown nowhere.

use foundation::events::Query;
use foundation_export::SecretString;

use super::receiver::{Answer, Receiver, on_demand};
use crate::setup::{LONG, start};

const SECRET: &str = "Bearer e5f0c2d4";
const PART: &str = "e5f0c2d4";

#[tokio::test]
async fn a_header_reaches_the_receiver_and_shows_nowhere_else() {
    let (foundation, exports) = start().await;
    // A receiver that repeats what it got.
    let error = [b"\x12\x1fno such token: Bearer e5f0c2d4 ".as_slice(), b"\x18\x00"].concat();
    let refused = Answer::RefuseSome(1, format!("not for {SECRET}"));
    let mut receiver = Receiver::start([Answer::Status(401, "", error), refused]).await;
    let exporter = receiver.exporter().header("authorization", SecretString::from(SECRET)).unwrap();
    let mut shown = vec![format!("{exporter:?}")];
    let spec = on_demand(exporter);
    shown.push(format!("{spec:?}"));
    exports.register("collector", spec).await.unwrap();
    let error = exports.now("collector", LONG).await.unwrap_err();
    assert!(error.to_string().ends_with("401 Unauthorized: no such token: [secret] "), "{error}");
    shown.push(format!("{error} {error:?}"));
    let exported = exports.now("collector", LONG).await.unwrap();
    assert_eq!(exported.rejected.as_ref().unwrap().1, "not for [secret]");
    shown.push(format!("{exported:?}"));
    let stats = exports.stats("collector").unwrap();
    shown.push(format!("{stats:?} {}", serde_json::to_string(&stats).unwrap()));
    let events = foundation.events().query(Query::new()).await.unwrap();
    shown.push(format!("{events:?} {exports:?}"));
    for text in shown {
        assert!(!text.contains(PART), "{text}");
    }
    let asked = receiver.asked.recv().await.unwrap();
    assert!(asked.head.contains(&format!("authorization: {SECRET}\r\n")), "{}", asked.head);
}
