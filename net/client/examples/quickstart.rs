//! The client in one screen. Start a server (`cargo run --release --bin kvcore`), then:
//!
//! ```text
//! cargo run -p kvclient --example quickstart
//! ```
//!
//! Other servers than `127.0.0.1:7400` are named by `KVCORE_SEEDS=host:port,...`.

use std::time::Duration;

use kvclient::{Client, Error};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let client = Client::builder().deadline(Duration::from_secs(2)).build().await?;
    let route = client.route();
    println!("connected: {} node(s), epoch {}", route.nodes().len(), route.epoch());

    let written = client.put("fruit/1", "apple").send().await?;
    println!("put    fruit/1 = apple at {} ms", written.version.hlc.millis());

    let entry = client.get("fruit/1").send().await?.expect("it was just put");
    println!("get    fruit/1 = {}", String::from_utf8_lossy(&entry.value));

    client.put("fruit/2", "pear").ttl(Duration::from_millis(300)).send().await?;
    let entry = client.get("fruit/2").send().await?.expect("it still lives");
    println!("put    fruit/2 = pear, until {} ms", entry.expires_at_ms.unwrap_or(0));

    let keys = ["fruit/1", "fruit/2", "fruit/3"];
    let outcomes = client.multi_get(keys).send().await?;
    for (key, outcome) in keys.iter().zip(outcomes) {
        let value = outcome?.map(|entry| String::from_utf8_lossy(&entry.value).into_owned());
        println!("multi  {key} = {}", value.as_deref().unwrap_or("(none)"));
    }

    tokio::time::sleep(Duration::from_millis(400)).await;
    println!("ttl    fruit/2 exists: {}", client.exists("fruit/2").send().await?);

    client.delete("fruit/1").send().await?;
    println!("delete fruit/1 exists: {}", client.exists("fruit/1").send().await?);
    Ok(())
}
