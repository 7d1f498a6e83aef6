"""What is ready, and who is told: ensembles without a model of their steps, watchers of grpc.health.v1."""

import json

import grpc
import numpy as np
import tritonclient.grpc as tgrpc
import tritonclient.http as thttp
from server import MODELS, Server, ServerTest, add_model, main
from tritonclient.utils import InferenceServerException

ENSEMBLE = """
platform: "ensemble"
max_batch_size: 8
input { name: "in" data_type: TYPE_FP32 dims: 16 }
output { name: "out" data_type: TYPE_FP32 dims: 16 }
ensemble_scheduling {
  step { model_name: "%s" input_map { key: "%s" value: "in" } output_map { key: "%s" value: "out" } }
}
"""


class ReadinessTest(ServerTest):
    CLIENTS = True

    @classmethod
    def add_models(cls, models):
        add_model(models, "double", "double")
        add_model(models, "inner", None, ENSEMBLE % ("double", "x", "y"))
        add_model(models, "outer", None, ENSEMBLE % ("inner", "in", "out"))

    def states(self):
        index = json.loads(self.server.get("/v2/repository/index", "POST", b"{}")[2])
        return {entry["name"]: entry["state"] for entry in index}

    def test_an_ensemble_is_ready_while_the_models_of_its_steps_are(self):
        self.assertEqual(self.states(), {"double": "READY", "inner": "READY", "outer": "READY"})
        self.http.unload_model("double")
        try:
            self.assertEqual(self.states(), {name: "UNAVAILABLE" for name in ("double", "inner", "outer")})
            self.assertEqual(self.server.get("/v2/health/ready")[0], 400)
            for module, client in ((thttp, self.http), (tgrpc, self.grpc)):
                self.assertFalse(client.is_server_ready())
                one = module.InferInput("in", [1, 16], "FP32")
                one.set_data_from_numpy(np.ones((1, 16), np.float32))
                for name in ("inner", "outer"):
                    self.assertFalse(client.is_model_ready(name))
                    with self.assertRaisesRegex(InferenceServerException, r"\(model 'double'\) is not ready") as caught:
                        client.infer(name, [one])
                    self.assertIn(caught.exception.status(), ("503", "StatusCode.UNAVAILABLE"))
        finally:
            self.http.load_model("double")
        self.assertEqual(self.server.get("/v2/health/ready")[0], 200)
        self.assertTrue(self.grpc.is_model_ready("outer"))
        np.testing.assert_array_equal(self.grpc.infer("outer", [one]).as_numpy("out"), 2)

    def test_watchers_are_told_of_changes(self):
        serving, not_serving, unknown = b"\x08\x01", b"\x08\x02", b"\x08\x03"
        with grpc.insecure_channel(self.server.grpc) as channel:
            watch = channel.unary_stream("/grpc.health.v1.Health/Watch")
            for _ in range(20):  # that go again
                gone = watch(b"")
                self.assertEqual(next(gone), serving)
                gone.cancel()
            other = watch(b"\x0a\x04what")
            self.assertEqual(next(other), unknown)
            watches = [watch(b""), watch(b"\x0a\x1einference.GRPCInferenceService")]
            for one in watches:
                self.assertEqual(next(one), serving)
            for _ in range(2):
                self.http.unload_model("double")
                for one in watches:
                    self.assertEqual(next(one), not_serving)
                self.http.load_model("double")
                for one in watches:
                    self.assertEqual(next(one), serving)
            with self.assertRaises(grpc.RpcError) as caught:
                list(channel.stream_stream("/grpc.health.v1.Health/Watch")(iter([])))
            self.assertEqual(caught.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)

    def test_watchers_do_not_keep_the_server_from_ending(self):
        server = Server(str(MODELS / "double.onnx"))
        with grpc.insecure_channel(server.grpc) as channel:
            watch = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"")
            self.assertEqual(next(watch), b"\x08\x01")
            self.assertEqual(server.stop(), 0)
            self.assertEqual(list(watch), [b"\x08\x02"])


if __name__ == "__main__":
    main()
