import org.codelibs.opensearch.runner.OpenSearchRunner;

/** One node of a test cluster: FOLDER HTTP_PORT TRANSPORT_PORT NAME SEEDS NAMES, on loopback. */
public class Node {
    public static void main(String[] args) throws Exception {
        String folder = args[0], name = args[3], seeds = args[4], names = args[5];
        int http = Integer.parseInt(args[1]), transport = Integer.parseInt(args[2]);
        OpenSearchRunner runner = new OpenSearchRunner();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                runner.close();
            } catch (Exception ended) {
                // It ends anyway.
            }
        }));
        runner.onBuild((number, settings) -> {
            settings.put("node.name", name);
            settings.put("http.port", http);
            settings.put("transport.port", transport);
            settings.put("network.host", "127.0.0.1");
            settings.putList("discovery.seed_hosts", seeds.split(","));
            settings.putList("cluster.initial_cluster_manager_nodes", names.split(","));
            // A full disk of the machine is no failure of a test; one that is about it sets this.
            settings.put("cluster.routing.allocation.disk.threshold_enabled", false);
            settings.put("knn.plugin.enabled", true);
        }).build(OpenSearchRunner.newConfigs().basePath(folder).clusterName("qrank-test").numOfNode(1)
            .pluginTypes("org.opensearch.knn.plugin.KNNPlugin"));
        Thread.currentThread().join();
    }
}
