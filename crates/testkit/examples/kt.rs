#[tokio::main]
async fn main() {
    let t = std::time::Instant::now();
    let k = testkit::Kafka::start().await; println!("start {:?}", t.elapsed());
    k.create_topic("a", 3).await; println!("topic {:?}", t.elapsed());
    k.kill().await; println!("kill {:?}", t.elapsed());
    k.restart().await; println!("restart {:?}", t.elapsed());
    k.create_topic("a", 3).await; println!("topic {:?}", t.elapsed());
    k.restart_gracefully().await; println!("graceful {:?}", t.elapsed());
    k.create_topic("b", 3).await; println!("topic {:?}", t.elapsed());
}
