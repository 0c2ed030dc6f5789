"""A network back from the graph that it was exported to, to be trained further."""

from __future__ import annotations

from builder.deep import layers
from builder.deep.family import NeuralFamily, Params, Shape
from builder.deep.model import NeuralModel
from builder.deep.onnx_export import graph_weights


def rebuild(
    graph: bytes,
    family: NeuralFamily,
    params: Params,
    *,
    width: int | None = None,
    seed: int = 0,
    threads: int = 1,
) -> NeuralModel:
    """The network of a serialised graph, as its ``family`` put it together with ``params``.

    With a ``width`` of its own, so for other classes, its last layer starts afresh. Weights are
    read from the graph by name; no code is.

    Raises
    ------
    ValueError
        The graph holds no network of this family and these hyperparameters.
    """
    stored, shape = graph_weights(graph), graph_shape(graph)
    fresh = width is not None and width != shape.width
    shape = Shape(shape.features, shape.length, shape.channels, width or shape.width)
    model = family.network(shape, params, seed=seed, threads=threads)
    for layer in model.network.layers:
        if fresh and layer.name == layers.HEAD:
            continue
        values = [stored.get(variable.path) for variable in layer.weights]
        for variable, value in zip(layer.weights, values, strict=True):
            if value is None or value.shape != tuple(variable.shape):
                raise ValueError(f"the graph holds no weights {variable.path} of {variable.shape}")
        layer.set_weights(values)
    return model


def graph_shape(graph: bytes) -> Shape:
    """The sizes of a serialised graph's inputs and output."""
    from onnx import load_from_string

    parts = load_from_string(graph).graph
    sizes = {
        value.name: [dimension.dim_value for dimension in value.type.tensor_type.shape.dim][1:]
        for value in (*parts.input, *parts.output)
    }
    (features,) = sizes.get("features", [None])
    length, channels = sizes.get("sequences", [None, None])
    (width,) = sizes["probabilities"]
    return Shape(features, length, channels, width)
