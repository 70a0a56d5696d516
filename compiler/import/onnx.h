/* onnx.h: what the files of the importer share. The order of work is in import.c.
 */
#ifndef QBC_IMPORT_ONNX_H
#define QBC_IMPORT_ONNX_H

#include "onnx.pb-c.h"
#include "base.h"

struct names; /* names.c */

/* --- wire.c: the file before protobuf-c sees it
 *
 * The skeleton is the same message without the bytes of the weights, and without what we never
 * read (documentation, metadata, unknown fields). A tensor's `raw_data` becomes its `segment`, the
 * range of bytes in the file. Nesting is limited, so that protobuf-c's recursion is.
 */
struct skeleton {
    unsigned char *data; /* free() it */
    size_t bytes;
    const char *problem; /* NULL when all is well */
    size_t where;        /* in the file */
};
struct skeleton onnx_skeleton(const unsigned char *file, size_t bytes);

/* --- ops.c: the table */
enum onnx_elements {
    LIKE_0,
    LIKE_1,
    LIKE_2,
    LIKE_3,
    LIKE_4,
    LIKE_5,
    LIKE_6,
    LIKE_7,
    BOOL,
    F32,
    I32,
    I64,
    U8,
    TO,
    DTYPE,
    VALUE,
    ZERO_POINT,
    OUTPUT
};
struct onnx_op {
    const char *domain, *name;
    size_t fewest, most;
    int64_t since;
    enum onnx_elements first, others;
};
const struct onnx_op *onnx_op_find(const char *domain, const char *name);
/* What the user may have meant: "RMSNormalization", "X of domain com.microsoft"; or NULL */
const char *onnx_op_suggest(struct qbc *q, const char *domain, const char *name);

/* --- what is imported */

/* A name of the graph: who defines it. */
enum value_kind { VALUE_INPUT, VALUE_WEIGHT, VALUE_NODE };
struct value {
    enum value_kind kind;
    size_t index;   /* of the input, the initializer or the node */
    MlirValue mlir; /* null until it is built */
};

/* An input or output of the graph that is no weight. Dims are sums of numbers, T and P, or "?". */
struct interface {
    const char *name;
    enum qbc_element element;
    bool ranked;
    size_t rank;
    int64_t size[QBC_MAX_RANK];       /* QBC_ANY where there is a name or nothing */
    const char *symbol[QBC_MAX_RANK]; /* "" where there is none */
    const char *dims[QBC_MAX_RANK];   /* interface.c works them out */
    const char *role; /* "tokens", "positions", "mask", "past", "other"; "logits", "present", .. */
    int64_t past;     /* of a present output: which input it continues; -1 */
};

struct import {
    struct qbc *q;
    const char *path, *folder; /* folder ends with "/" or is empty */
    const unsigned char *file;
    size_t file_bytes;
    Onnx__ModelProto *model;
    Onnx__GraphProto *graph;
    int64_t opset;          /* of the default domain */
    struct names *values;   /* name -> struct value */
    struct names *types;    /* name -> Onnx__TypeProto, where the file declares one */
    struct names *symbols;  /* dim_param -> dims text */
    struct names *external; /* path -> struct external */
    struct interface *in, *out;
    size_t n_in, n_out;
    size_t *order; /* nodes, sorted so that values come before their uses */
    size_t n_order;
    size_t reported; /* errors so far, to end a flood */
    MlirBlock body;
    bool inside; /* it is a subgraph */
};

/* --- names.c: a dictionary from text to anything; keys are borrowed */
struct names *onnx_names_create(struct qbc *q);
struct names *onnx_names_create_inside(struct qbc *q, const struct names *outer); /* of a subgraph */
void *onnx_names_get(const struct names *names, const char *key); /* NULL: not there */
void *onnx_names_get_here(const struct names *names, const char *key); /* not in what is around it */
void onnx_names_put(struct names *names, const char *key, void *value);

/* --- report.c: faults, with the place */
enum { MOST_REPORTED = 40 };
const char *onnx_printable(struct qbc *q, const char *text); /* control characters replaced */
void onnx_fault(struct import *m, const char *format, ...) __attribute__((format(printf, 2, 3)));
void onnx_fault_at(struct import *m, const Onnx__NodeProto *node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
MlirLocation onnx_node_location(struct import *m, const Onnx__NodeProto *node);
const char *onnx_domain_of(const Onnx__NodeProto *node);                  /* "" for ONNX's own */
const char *onnx_title_of(struct import *m, const Onnx__NodeProto *node); /* "MatMul (opset 18)" */

/* --- tensors.c: what a TensorProto holds. False after a fault; `name` is for messages. */
const char *onnx_type_name(struct import *m, int32_t type); /* "8 (text)": of elements that are not supported */
bool onnx_tensor_read(struct import *m, const Onnx__TensorProto *t, const char *name,
                      struct qbc_source *out);
/* Dense elements with what it holds. */
MlirAttribute onnx_tensor_attribute(struct import *m, const struct qbc_source *source);

/* --- branch.c: of two decoders in one file, the one with a cache */
void onnx_choose_branches(struct import *m);
/* --- inline.c: the model's own functions as their nodes */
void onnx_inline_functions(struct import *m);

/* --- check.c: is the graph sound? Fills values, types, order; reports every fault. */
void onnx_check_model(struct import *m);
void onnx_check_graph(struct import *m);

/* --- interface.c: what the inputs and outputs are for */
void onnx_find_interface(struct import *m);
/* --- dims.c: their sizes, in T and P */
void onnx_find_dims(struct import *m);
const char *onnx_dim_text(struct import *m, const Onnx__TensorShapeProto__Dimension *dim);
bool onnx_read_interface(struct import *m, const Onnx__ValueInfoProto *info, struct interface *out);
const struct interface *onnx_tokens_of(const struct import *m); /* NULL: no language model */

/* --- build.c: the IR */
MlirModule onnx_build_module(struct import *m);
MlirType onnx_declared_type(struct import *m, const char *name); /* null when nothing is declared */
/* The function's type and attributes, from m->in and m->out and what was built. */
void onnx_type_function(struct import *m, MlirOperation func);
void onnx_build_weights(struct import *m); /* what is read, into m->body */
bool onnx_build_nodes(struct import *m);   /* false: a fault */
MlirType onnx_interface_type(struct import *m, const struct interface *x);
/* --- subgraph.c: attributes that are graphs become regions with the attributes' names in `graphs`, in order */
bool onnx_is_graph(const Onnx__NodeProto *node, const Onnx__AttributeProto *a); /* one that the operation may have */
bool onnx_build_graph(struct import *m, const Onnx__AttributeProto *a, MlirOperation op, size_t region);
/* Marks in `used` what nodes of subgraphs read. */
void onnx_note_uses(struct import *m, struct names *used, const Onnx__GraphProto *g);
/* --- settle.c: sizes of the cache that follow from its use */
void onnx_settle(struct import *m, MlirModule module);
/* --- attributes.c */
MlirAttribute onnx_attribute_of(struct import *m, const Onnx__NodeProto *node,
                                const Onnx__AttributeProto *a); /* null after a fault */
const Onnx__AttributeProto *onnx_attribute_find(const Onnx__NodeProto *node, const char *name);
/* The tensor that a Constant node holds, in whichever of its forms. False after a fault. */
bool onnx_constant_read(struct import *m, const Onnx__NodeProto *node, struct qbc_source *out);

#endif
