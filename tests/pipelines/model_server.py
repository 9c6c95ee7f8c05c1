"""Stands in for TensorFlow Serving, which comes as a Docker image.

    python model_server.py MODEL ANSWERS

Loads one SavedModel, in a process of its own that knows TensorFlow and nothing of the converter,
and serves it by the gRPC interface of TensorFlow Serving: the status of the model, and Predict. The
first line it prints is its port. ANSWERS is a TFRecord file of what was asked and answered, each
as a PredictionLog.
"""

from __future__ import annotations

import sys
import traceback
from concurrent import futures
from typing import Any

import grpc
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)

State = get_model_status_pb2.ModelVersionStatus


class Status(model_service_pb2_grpc.ModelServiceServicer):
    """Says whether the model is there yet, or never will be."""

    state = State.LOADING

    def GetModelStatus(self, request: Any, context: Any) -> Any:
        """See TensorFlow Serving."""
        version = State(version=1, state=self.state)
        return get_model_status_pb2.GetModelStatusResponse(model_version_status=[version])


class Predictions(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Answers with the signatures of the model."""

    def __init__(self, answers: str) -> None:
        self.signatures: Any = {}
        self._answers = tf.io.TFRecordWriter(answers)

    def Predict(self, request: Any, context: Any) -> Any:
        """See TensorFlow Serving."""
        signature = self.signatures[request.model_spec.signature_name]
        inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
        outputs = signature(**{name: tf.constant(array) for name, array in inputs.items()})
        response = predict_pb2.PredictResponse(
            outputs={n: tf.make_tensor_proto(tensor.numpy()) for n, tensor in outputs.items()}
        )
        log = prediction_log_pb2.PredictLog(request=request, response=response)
        self._answers.write(prediction_log_pb2.PredictionLog(predict_log=log).SerializeToString())
        self._answers.flush()
        return response


def main(model: str, answers: str) -> None:
    """Serves until it is terminated."""
    server = grpc.server(futures.ThreadPoolExecutor(1))
    status, predictions = Status(), Predictions(answers)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(status, server)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(predictions, server)
    print(server.add_insecure_port("localhost:0"), flush=True)
    server.start()
    try:
        loaded = tf.saved_model.load(model)
    except Exception:
        traceback.print_exc()
        status.state = State.END
    else:
        predictions.signatures = loaded.signatures
        status.state = State.AVAILABLE
    server.wait_for_termination()


if __name__ == "__main__":
    main(*sys.argv[1:])
