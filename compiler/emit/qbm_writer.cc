// qbm_writer.cc: the root of an artifact, by FlatBuffers' own builder. C++ because the builder is.
//
// Default values are written out (ForceDefaults), so the size of the root does not depend on the
// offsets in it: qbm.c builds it once to learn its size and once more with the offsets.
#include "qbm_generated.h"
#include <cstdlib>
#include <cstring>
#include <vector>

extern "C" {
// base.h reaches for MLIR's C headers and C11's bool; the artifact's structs are plain.
#include "qbm.h"
#include "checksum.h"
}

using flatbuffers::FlatBufferBuilder;
using flatbuffers::Offset;
using flatbuffers::String;

namespace {

Offset<String> text(FlatBufferBuilder &b, const char *s)
{
    return b.CreateString(s ? s : "");
}

// For fields that may be absent.
Offset<String> optional_text(FlatBufferBuilder &b, const char *s)
{
    return s ? b.CreateString(s) : Offset<String>();
}

Offset<qbm::Tensor> tensor(FlatBufferBuilder &b, const qbc_artifact_tensor &t)
{
    auto packing = qbm::CreatePacking(b, (uint32_t)t.packing.rows, (uint32_t)t.packing.depth,
                                      t.packing.is_signed);
    auto name = text(b, t.name);
    auto role = b.CreateSharedString(t.role ? t.role : "");
    auto format = b.CreateSharedString(t.format ? t.format : "");
    return qbm::CreateTensor(b, name, role, t.block, format, t.rows, t.cols, packing, t.offset,
                             t.size, t.lookup);
}

Offset<qbm::Weights> weights(FlatBufferBuilder &b, const qbc_artifact_weights &w, uint64_t offset)
{
    std::vector<Offset<qbm::Tensor>> tensors;
    for (size_t i = 0; i < w.n_tensors; i++)
        tensors.push_back(tensor(b, w.tensors[i]));
    return qbm::CreateWeights(b, offset, w.size, b.CreateVector(tensors));
}

Offset<qbm::Variant> variant(FlatBufferBuilder &b, const qbc_artifact_variant &v, uint64_t offset)
{
    std::vector<Offset<String>> requirements;
    for (size_t i = 0; i < v.n_requirements; i++)
        requirements.push_back(b.CreateSharedString(v.requirements[i]));
    auto list = b.CreateVector(requirements);
    auto target = text(b, v.target);
    auto triple = text(b, v.triple);
    return qbm::CreateVariant(b, target, triple, (uint16_t)v.machine, list, offset, v.image_bytes,
                              v.decode, v.step, v.weights,
                              qbrt_checksum(v.image, v.image_bytes));
}

Offset<flatbuffers::Vector<Offset<qbm::Fact>>> record(FlatBufferBuilder &b, const qbc_artifact &a)
{
    std::vector<Offset<qbm::Fact>> facts;
    for (size_t i = 0; i < a.n_record; i++) {
        auto key = text(b, a.record[i].key);
        auto value = text(b, a.record[i].value);
        facts.push_back(qbm::CreateFact(b, key, value));
    }
    return b.CreateVectorOfSortedTables(&facts);
}

Offset<flatbuffers::Vector<uint8_t>> tokenizer(FlatBufferBuilder &b, const qbc_artifact &a)
{
    if (!a.tokenizer_bytes)
        return 0;
    b.ForceVectorAlignment(a.tokenizer_bytes, 1, 8); // the schema's force_align
    return b.CreateVector(a.tokenizer, a.tokenizer_bytes);
}

Offset<flatbuffers::Vector<Offset<qbm::Port>>> ports(FlatBufferBuilder &b, const qbc_run_port *port, size_t n)
{
    std::vector<Offset<qbm::Port>> list;
    for (size_t i = 0; i < n; i++) {
        auto name = text(b, port[i].name);
        auto dims = b.CreateVector(port[i].dims, port[i].rank);
        list.push_back(qbm::CreatePort(b, name, (uint32_t)port[i].element, dims));
    }
    return n ? b.CreateVector(list) : Offset<flatbuffers::Vector<Offset<qbm::Port>>>();
}

Offset<qbm::Model> model(FlatBufferBuilder &b, const qbc_artifact &a, const uint64_t *offsets)
{
    enum { VERSION = 1 };
    std::vector<Offset<qbm::State>> states;
    std::vector<Offset<qbm::Weights>> sections;
    std::vector<Offset<qbm::Variant>> variants;
    for (size_t i = 0; i < a.n_states; i++)
        states.push_back(
            qbm::CreateState(b, text(b, a.states[i].name), a.states[i].offset, a.states[i].size));
    for (size_t i = 0; i < a.n_variants; i++)
        variants.push_back(variant(b, a.variants[i], offsets[i]));
    for (size_t i = 0; i < a.n_weights; i++)
        sections.push_back(weights(b, a.weights[i], offsets[a.n_variants + i]));

    auto states_at = b.CreateVector(states);
    auto sections_at = b.CreateVector(sections);
    auto variants_at = b.CreateVector(variants);
    auto tokenizer_at = tokenizer(b, a);
    auto eos_at = b.CreateVector(a.eos, a.n_eos);
    auto producer_at = text(b, a.producer);
    auto template_at = optional_text(b, a.chat_template);
    auto record_at = record(b, a);
    auto inputs_at = ports(b, a.inputs, a.n_inputs);
    auto results_at = ports(b, a.results, a.n_results);
    return qbm::CreateModel(b, producer_at, VERSION, a.vocab, a.context, a.chunk, a.parameters,
                            a.arena_bytes, a.state_bytes, states_at, sections_at, variants_at,
                            tokenizer_at, a.bos, eos_at, template_at, record_at, a.outputs, a.whole,
                            inputs_at, results_at);
}

} // namespace

extern "C" uint8_t *qbc_qbm_root(const struct qbc_artifact *artifact, const uint64_t *offsets,
                                 size_t *bytes)
{
    FlatBufferBuilder b;
    b.ForceDefaults(true);
    qbm::FinishSizePrefixedModelBuffer(b, model(b, *artifact, offsets));
    *bytes = b.GetSize();
    uint8_t *root = (uint8_t *)malloc(*bytes);
    if (root)
        memcpy(root, b.GetBufferPointer(), *bytes);
    return root;
}
