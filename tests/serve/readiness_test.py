"""What is ready, and who is told: ensembles without a model of their steps."""

import json

import numpy as np
import tritonclient.grpc as tgrpc
import tritonclient.http as thttp
from server import ServerTest, add_model, main
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


if __name__ == "__main__":
    main()
