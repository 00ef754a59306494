"""Settings of a trainer whose runs take seconds."""

RETRAINED = {
    "SHOAL_TRAINING__FIT__RECIPE": "pixel",
    "SHOAL_TRAINING__FIT__ARCHITECTURE__WIDTHS": "[8, 16]",
    "SHOAL_TRAINING__FIT__ARCHITECTURE__EMBEDDING_DIM": "16",
    "SHOAL_TRAINING__FIT__MIN_STEPS": "60",  # longer than the first model: it must come out better
    "SHOAL_TRAINING__FIT__MAX_STEPS": "60",
    "SHOAL_TRAINING__CLUSTER__N_CLUSTERS": "3",
    "SHOAL_TRAINING__CLUSTER__N_COMPONENTS": "8",
    "SHOAL_TRAINING__MIN_IMAGES": "90",
}
ON_VOLUME = {
    **RETRAINED,
    "SHOAL_TRAINING__SCHEDULE": "0 0 29 2 *",  # not by the clock
    "SHOAL_TRAINING__TRIGGERS__VOLUME": "100",
    "SHOAL_TRAINING__TRIGGERS__CHECK_EVERY_S": "1",
    # tiny models differ by chance, and a busy machine is slow by chance
    "SHOAL_TRAINING__PROMOTION__SILHOUETTE_SLACK": "2",
    "SHOAL_TRAINING__PROMOTION__RECONSTRUCTION_SLACK": "1",
    "SHOAL_TRAINING__PROMOTION__INERTIA_SLACK": "5",
    "SHOAL_TRAINING__PROMOTION__MAX_LATENCY": "100",
}
