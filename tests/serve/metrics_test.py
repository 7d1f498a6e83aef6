"""The metrics as Prometheus reads them: its own check of names, and the strict parser of OpenMetrics."""

import shutil
import subprocess
import unittest

from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain_metrics
from server import ServerTest, add_model, main

MICROSECONDS = {f"nv_inference_{what}_duration_us" for what in
                ("request", "queue", "compute_input", "compute_infer", "compute_output")}


def samples(families):
    """name and labels -> value."""
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for f in families for s in f.samples}


class MetricsTest(ServerTest):
    ARGUMENTS = ("--cache", "1")

    @classmethod
    def add_models(cls, models):
        add_model(models, "double", "double")
        add_model(models, "cached", "double", "max_batch_size: 8\nresponse_cache { enable: true }\n")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        body = (b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 16], "data": '
                b"[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]}]}")
        for model in ("double", "double", "cached", "cached"):
            assert cls.server.get(f"/v2/models/{model}/infer", "POST", body)[0] == 200
        assert cls.server.get("/v2/models/double/infer", "POST", body.replace(b'"x"', b'"z"'))[0] == 400

    def metrics(self, query="", accept=None):
        status, headers, text = self.server.get(f"/metrics{query}", address=self.server.metrics,
                                                headers={"Accept": accept} if accept else None)
        self.assertEqual(status, 200, text)
        return headers["Content-Type"], text.decode()

    @unittest.skipUnless(shutil.which("promtool"), "needs the program promtool")
    def test_promtool_is_content(self):
        def check(text):
            done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True,
                                  timeout=60, check=False)
            return done.returncode, done.stdout + done.stderr
        for query in ("", "?names=ingot"):
            self.assertEqual(check(self.metrics(query)[1]), (0, ""))
        # What it says of all of Triton's names: their unit is abbreviated, and nothing else.
        code, said = check(self.metrics("?names=all")[1])
        self.assertEqual(code, 3)
        self.assertEqual({line.split()[0] for line in said.splitlines()}, MICROSECONDS)
        for line in said.splitlines():
            self.assertIn("abbreviated units", line)

    def test_which_names_there_are(self):
        names = {query: {name for name, _ in samples(plain_metrics(self.metrics(query)[1]))}
                 for query in ("", "?names=all", "?names=ingot")}
        self.assertEqual(names["?names=all"] - names[""], MICROSECONDS)
        self.assertLessEqual({"nv_inference_request_success", "nv_inference_request_failure", "nv_inference_count",
                              "nv_inference_exec_count", "nv_inference_pending_request_count",
                              "nv_cache_num_hits_per_model", "ingot_requests_total"}, names[""])
        self.assertEqual({n for n in names[""] if not n.startswith("nv_")}, names["?names=ingot"])
        self.assertEqual(self.server.get("/metrics?names=none", address=self.server.metrics)[0], 400)

    def test_open_metrics(self):
        accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"
        kind, text = self.metrics(accept=accept)
        self.assertTrue(kind.startswith("application/openmetrics-text; version=1.0.0"), kind)
        strict = samples(open_metrics(text))
        plain = samples(plain_metrics(self.metrics("?names=all")[1]))
        self.assertEqual(strict.keys(), plain.keys())
        moving = {"ingot_uptime_seconds", "ingot_resident_memory_bytes", "ingot_heap_used_bytes",
                  "ingot_heap_free_bytes", "ingot_connections"}
        for key, value in strict.items():
            if key[0] not in moving:
                self.assertEqual(value, plain[key], key)
        model = (("model", "double"), ("version", "1"))
        self.assertEqual(strict["nv_inference_request_success", model], 2)
        self.assertEqual(strict["nv_inference_request_failure", model], 1)
        self.assertGreater(strict["nv_inference_request_duration_us", model], 0)
        self.assertEqual(strict["ingot_request_duration_seconds_count", model], 2)


if __name__ == "__main__":
    main()
