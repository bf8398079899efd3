"""The job schema for those who walk through it: `thalweg schema` writes a section that stands more than once as a
definition (engine/core/schema_definitions.h)."""


def expanded(schema):
    """The same schema with every definition written out where it is referred to."""
    definitions = schema.get("definitions", {})

    def walk(part):
        if isinstance(part, list):
            return [walk(element) for element in part]
        if not isinstance(part, dict):
            return part
        if "$ref" in part:
            return walk(definitions[part["$ref"].removeprefix("#/definitions/")])
        whole = walk(part["allOf"][0]) if "allOf" in part else {}
        whole.update((key, walk(value)) for key, value in part.items() if key != "allOf")
        return whole

    return walk({key: value for key, value in schema.items() if key != "definitions"})
