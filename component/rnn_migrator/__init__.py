"""Legacy TensorFlow 1 and Keras 1-2 recurrent models into modern `tf.keras`, provably unchanged."""
