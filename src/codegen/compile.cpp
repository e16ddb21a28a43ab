// SPDX-License-Identifier: Apache-2.0
// LLVM modules to machine code, linked into one blob that needs nothing from outside.
#include <lld/Common/Driver.h>
#include <llvm/ADT/SmallVector.h>
#include <llvm/Analysis/TargetLibraryInfo.h>
#include <llvm/Bitcode/BitcodeReader.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/Linker/Linker.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Object/ELFObjectFile.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Support/CommandLine.h>
#include <llvm/Support/MemoryBuffer.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/Target/TargetMachine.h>
#include <llvm/Target/TargetOptions.h>
#include <llvm/TargetParser/Triple.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <thread>

#include "codegen/longtail.h"
#include "codegen/lowering.h"

LLD_HAS_DRIVER(elf)

namespace lathe::codegen {

namespace {

void initialize_llvm() {
  static std::once_flag once;
  std::call_once(once, [] {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    LLVMInitializeAArch64TargetInfo();
    LLVMInitializeAArch64Target();
    LLVMInitializeAArch64TargetMC();
    LLVMInitializeAArch64AsmPrinter();
  });
}

/// Loop strength reduction takes three quarters of the code generation time of a convolution kernel on x86 and makes it
/// no faster. Set before every use: LLD resets all options when it has linked.
void set_loop_strength_reduction(bool on) {
  auto& options = llvm::cl::getRegisteredOptions();
  if (const auto it = options.find("disable-lsr"); it != options.end())
    static_cast<llvm::cl::opt<bool>*>(it->second)->setValue(!on);
}

std::unique_ptr<llvm::TargetMachine> make_machine(const Target& t, std::string& error) {
  const auto* target = llvm::TargetRegistry::lookupTarget(std::string(t.triple), error);
  if (!target) return nullptr;
  llvm::TargetOptions options;
  options.AllowFPOpFusion = llvm::FPOpFusion::Standard;  // only where the instruction is marked `contract`
  options.NoTrappingFPMath = true;
  options.EmulatedTLS = false;
  return std::unique_ptr<llvm::TargetMachine>(
      target->createTargetMachine(std::string(t.triple), std::string(t.cpu), std::string(t.features), options,
                                  llvm::Reloc::PIC_, llvm::CodeModel::Small, llvm::CodeGenOptLevel::Default));
}

bool is_kernel(const llvm::Function& f) {
  return f.getLinkage() == llvm::Function::ExternalLinkage && f.getName().starts_with("k");
}

/// Links the long-tail library into a module that calls it, gives its functions the kernel's instruction set and
/// optimises: the kernel's constants then reach into the library's loops.
Status link_longtail(llvm::Module& module, const Target& t, llvm::TargetMachine& machine) {
  bool needed = false;
  for (const auto& f : module) needed |= f.isDeclaration() && !f.isIntrinsic();
  if (!needed) return {};
  const std::span<const unsigned char> code = longtail_bitcode(t.arch);
  auto buffer =
      llvm::MemoryBuffer::getMemBuffer({reinterpret_cast<const char*>(code.data()), code.size()}, "longtail", false);
  auto library = llvm::parseBitcodeFile(buffer->getMemBufferRef(), module.getContext());
  if (!library)
    return fail(Code::kFailed, "the long-tail kernel library does not parse: " + llvm::toString(library.takeError()));
  for (auto& f : **library) {
    if (f.isDeclaration()) continue;
    f.removeFnAttr("target-cpu");
    f.removeFnAttr("tune-cpu");
    f.removeFnAttr("target-features");
    f.removeFnAttr(llvm::Attribute::NoInline);
    f.removeFnAttr(llvm::Attribute::OptimizeNone);
    for (const char* key : {"target-cpu", "target-features", "prefer-vector-width", "min-legal-vector-width"})
      for (const auto& k : module)
        if (is_kernel(k) && k.hasFnAttribute(key)) f.addFnAttr(k.getFnAttribute(key));
  }
  (*library)->setDataLayout(module.getDataLayout());
  (*library)->setTargetTriple(module.getTargetTriple());
  if (llvm::Linker::linkModules(module, std::move(*library), llvm::Linker::LinkOnlyNeeded))
    return fail(Code::kFailed, "a long-tail kernel could not be linked");
  for (auto& f : module) {
    if (f.isDeclaration() && !f.isIntrinsic() && !f.use_empty())
      return fail(Code::kFailed, "kernel " + module.getModuleIdentifier() + " calls " + f.getName().str() +
                                     ", which the long-tail library lacks");
    if (!f.isDeclaration() && !is_kernel(f)) f.setLinkage(llvm::GlobalValue::InternalLinkage);
  }
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager cgscc;
  llvm::ModuleAnalysisManager modules;
  llvm::PassBuilder builder(&machine);
  // No C library behind the blob: loops must not be turned into calls of memcpy and the like.
  llvm::TargetLibraryInfoImpl none{llvm::Triple(module.getTargetTriple())};
  none.disableAllFunctions();
  functions.registerPass([&] { return llvm::TargetLibraryAnalysis(none); });
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(cgscc);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, cgscc, modules);
  builder.buildPerModuleDefaultPipeline(llvm::OptimizationLevel::O2).run(module, modules);
  return {};
}

Result<llvm::SmallVector<char, 0>> compile_one(Lowering::Kernel& k, const Target& t) {
  std::string problem;
  auto machine = make_machine(t, problem);
  if (!machine) return fail(Code::kFailed, "LLVM has no code generator for " + std::string(t.triple) + ": " + problem);
  k.module->setDataLayout(machine->createDataLayout());
  k.module->setModuleIdentifier(k.name);
  k.module->setPICLevel(llvm::PICLevel::BigPIC);
  LATHE_CHECK(link_longtail(*k.module, t, *machine));
  for (auto& f : *k.module) {
    // Kernels are called through offsets into the blob; nothing unwinds through them.
    if (!f.isDeclaration()) {
      f.setUWTableKind(llvm::UWTableKind::None);
      f.addFnAttr(llvm::Attribute::NoUnwind);
      f.setDSOLocal(true);
    }
  }
  llvm::SmallVector<char, 0> object;
  llvm::raw_svector_ostream out(object);
  llvm::legacy::PassManager passes;
  if (machine->addPassesToEmitFile(passes, out, nullptr, llvm::CodeGenFileType::ObjectFile))
    return fail(Code::kFailed, "LLVM cannot write objects for " + std::string(t.triple));
  passes.run(*k.module);
  k.module.reset();
  k.context.reset();
  return object;
}

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "lathe-XXXXXX").string();
    if (mkdtemp(pattern.data())) path = pattern;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    if (!path.empty()) std::filesystem::remove_all(path, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::filesystem::path path;
};

bool write_file(const std::filesystem::path& path, std::span<const char> bytes) {
  std::ofstream f(path, std::ios::binary);
  f.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  f.close();
  return f.good();
}

// All code and constants in one section, in the order of the objects; nothing else survives.
constexpr char kLinkerScript[] =
    "SECTIONS { . = 0; .blob : ALIGN(64) { *(.text .text.*) . = ALIGN(64); *(.rodata .rodata.* .data.rel.ro "
    ".data.rel.ro.*) }\n"
    "  .dynsym : { *(.dynsym) } .dynstr : { *(.dynstr) } .hash : { *(.hash) } .gnu.hash : { *(.gnu.hash) } .dynamic : "
    "{ *(.dynamic) }\n"
    "  .rela.dyn : { *(.rela.dyn) } /DISCARD/ : { *(.eh_frame) *(.comment) *(.note*) *(.llvm_addrsig) } }\n";

Result<std::vector<std::byte>> link(const Target& t, const std::vector<llvm::SmallVector<char, 0>>& objects,
                                    Plan& plan) {
  const TemporaryFolder folder;
  const auto no_space = [&] {
    return fail(Code::kFailed, "cannot write temporary files for linking in " +
                                   std::filesystem::temp_directory_path().string() +
                                   "; set TMPDIR to a folder with space");
  };
  if (folder.path.empty()) return no_space();
  std::vector<std::string> arguments{"ld.lld",
                                     "-shared",
                                     "-Bsymbolic",
                                     "--no-undefined",
                                     "-nostdlib",
                                     "--threads=1",
                                     "-z",
                                     "norelro",
                                     "-z",
                                     "nognustack",
                                     "--hash-style=sysv",
                                     "-m",
                                     t.arch == Arch::kX86_64 ? "elf_x86_64" : "aarch64linux",
                                     "-T",
                                     (folder.path / "script").string(),
                                     "-o",
                                     (folder.path / "blob").string()};
  if (!write_file(folder.path / "script", {kLinkerScript, sizeof kLinkerScript - 1})) return no_space();
  for (size_t i = 0; i < objects.size(); ++i) {
    const auto path = folder.path / ("k" + std::to_string(i) + ".o");
    if (!write_file(path, {objects[i].data(), objects[i].size()})) return no_space();
    arguments.push_back(path.string());
  }
  std::vector<const char*> argv;
  for (const auto& a : arguments) argv.push_back(a.c_str());
  std::string messages;
  {
    static std::mutex linker;  // LLD keeps its state in globals
    const std::scoped_lock lock(linker);
    llvm::raw_string_ostream out(messages);
    const auto result = lld::lldMain(argv, out, out, {{lld::Gnu, &lld::elf::link}});
    if (result.retCode != 0) return fail(Code::kFailed, "linking the kernels failed: " + out.str());
  }
  auto file = llvm::object::ObjectFile::createObjectFile((folder.path / "blob").string());
  if (!file) return fail(Code::kFailed, "the linked kernels do not parse: " + llvm::toString(file.takeError()));
  const auto* elf = llvm::dyn_cast<llvm::object::ELFObjectFileBase>(file->getBinary());
  if (!elf) return fail(Code::kFailed, "the linked kernels are not an ELF file");
  std::vector<std::byte> blob;
  uint64_t base = 0;
  for (const auto& s : elf->sections()) {
    auto name = s.getName();
    if (!name) continue;
    if (*name == ".blob") {
      auto contents = s.getContents();
      if (!contents) return fail(Code::kFailed, "the linked kernels cannot be read");
      base = s.getAddress();
      const auto* p = reinterpret_cast<const std::byte*>(contents->data());
      blob.assign(p, p + contents->size());
    } else if (name->starts_with(".rela") && s.getSize() > 0) {
      return fail(Code::kFailed, "generated code needs relocation (section " + name->str() +
                                     "): this is a defect of the code generator");
    } else if ((s.isText() || s.isData() || s.isBSS()) && s.getSize() > 0 && !name->starts_with(".dyn") &&
               !name->starts_with(".hash") && !name->starts_with(".gnu")) {
      return fail(Code::kFailed, "generated code has an unexpected section " + name->str() +
                                     ": this is a defect of the code generator");
    }
  }
  std::map<std::string, uint64_t> entries;
  for (const auto& s : elf->symbols()) {
    auto name = s.getName();
    auto address = s.getAddress();
    if (name && address) entries[name->str()] = *address - base;
  }
  for (PlanKernel& k : plan.kernels) {
    const auto it = entries.find(k.name);
    if (it == entries.end()) return fail(Code::kFailed, "kernel " + k.name + " is missing from the linked code");
    k.code_offset = static_cast<int64_t>(it->second);
  }
  return blob;
}

}  // namespace

Result<std::vector<std::byte>> compile_kernels(const Target& target, std::vector<Lowering::Kernel> kernels, Plan& plan,
                                               int jobs, const std::function<bool(size_t, size_t)>& progress) {
  initialize_llvm();
  set_loop_strength_reduction(target.arch != Arch::kX86_64);
  if (kernels.empty()) return std::vector<std::byte>{};
  std::vector<llvm::SmallVector<char, 0>> objects(kernels.size());
  std::atomic<size_t> next{0}, done{0};
  std::atomic<bool> stop{false};
  std::mutex report;
  std::optional<Error> error;
  auto work = [&] {
    for (size_t i = next++; i < kernels.size() && !stop; i = next++) {
      auto object = compile_one(kernels[i], target);
      const std::scoped_lock lock(report);
      if (!object) {
        if (!error) error = object.error();
        stop = true;
        return;
      }
      objects[i] = std::move(*object);
      if (progress && !progress(++done, kernels.size())) {
        error = Error{Code::kInterrupted, "interrupted"};
        stop = true;
      }
    }
  };
  {
    std::vector<std::jthread> threads;
    for (int j = 1; j < jobs; ++j) threads.emplace_back(work);
    work();
  }
  if (error) return std::unexpected(*error);
  return link(target, objects, plan);
}

}  // namespace lathe::codegen
