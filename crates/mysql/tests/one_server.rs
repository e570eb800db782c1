//! A snapshot is of one server, whatever its address stands for.

mod support;

use std::net::SocketAddr;

use spanferry_core::report::code;
use spanferry_mysql::{MysqlSource, Options};
use support::Server;
use support::plan::{open_by, plans};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const SCHEMA: &str = "CREATE DATABASE s;
CREATE TABLE s.t (id BIGINT PRIMARY KEY)";

/// Gives each new connection to the next of the servers, in a circle.
async fn balancer(ports: Vec<u16>) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut task = JoinSet::new();
    task.spawn(async move {
        let mut conversations = JoinSet::new();
        for port in ports.into_iter().cycle() {
            let (mut client, _) = listener.accept().await.expect("a client");
            conversations.spawn(async move {
                let server = TcpStream::connect(("127.0.0.1", port)).await;
                let mut server = server.expect("a server");
                // How a conversation ends is the clients' matter.
                drop(tokio::io::copy_bidirectional(&mut client, &mut server).await);
            });
        }
    });
    (address, task)
}

async fn check(servers: [Server; 2]) {
    let mut connections = Vec::new();
    for server in &servers {
        connections.push(server.run(SCHEMA).await);
    }
    let (address, _balancer) = balancer(servers.iter().map(|server| server.port).collect()).await;
    let authority = servers[0].authority();
    let url = format!("mysql://admin:admin@{address}/s?ssl-ca={}", authority.display());
    let options = Options::parse(&url).expect("a URL");
    let plans = plans(&MysqlSource::new(servers[0].admin("s"), 4242).expect("options")).await;
    let source = MysqlSource::new(options, 4242).expect("options");
    for lock in [true, false] {
        let failure = open_by(&source, &plans, 2, lock).await.expect_err("two servers");
        assert_eq!(failure.code, code::SNAPSHOT_LOST, "{failure}");
        assert!(failure.is_retry(), "{failure}");
        assert!(failure.to_string().contains("different servers"), "{failure}");
    }
}

#[tokio::test]
async fn connections_to_several_servers_are_no_snapshot_mysql() {
    check([Server::mysql(""), Server::mysql("--server-id=2")]).await;
}

#[tokio::test]
async fn connections_to_several_servers_are_no_snapshot_mariadb() {
    let own = "--gtid-strict-mode=1 --binlog-row-metadata=FULL";
    check([
        Server::mariadb(own),
        Server::mariadb(&format!("{own} --server-id=2")),
    ])
    .await;
}
