// swift-tools-version:6.2
import PackageDescription

/// libtorch as `Tools/bootstrap.sh` leaves it: a link inside this folder, so that plain `swift build`
/// finds it at build time and, through the run path, at run time.
let libtorch = "\(Context.packageDirectory)/.libtorch"

let package = Package(
    name: "latent",
    products: [
        .executable(name: "latent", targets: ["LatentCLI"]),
        .library(name: "Latent", targets: ["Latent"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2")
    ],
    targets: [
        // C outside: what Swift cannot call by itself, and nothing more.
        .systemLibrary(
            name: "CSndFile", pkgConfig: "sndfile", providers: [.apt(["libsndfile1-dev"])]),
        .systemLibrary(
            name: "CCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        .target(name: "CPNG", linkerSettings: [.linkedLibrary("png16")]),
        .target(name: "CEarlyStart"),
        .target(
            name: "CTorch",
            cxxSettings: [
                .headerSearchPath("../../.libtorch/include"),
                .headerSearchPath("../../.libtorch/include/torch/csrc/api/include"),
                // After libtorch, whose own headers of Gloo come first where it has them.
                .headerSearchPath("GlooNames"),
                // Roots that set no error number can be vectors.
                .unsafeFlags(["-Wno-deprecated-declarations", "-O2", "-fno-math-errno"]),
            ],
            linkerSettings: [
                // Libraries that nothing refers to are dropped; CUDA's half of libtorch is opened
                // by name when a CUDA device is asked for, so the CPU never waits for it.
                .unsafeFlags([
                    "-Xlinker", "--as-needed", "-L\(libtorch)/lib", "-ltorch_cpu", "-lc10",
                    "-Xlinker", "-rpath", "-Xlinker", "\(libtorch)/lib",
                ])
            ]),

        // Swift inside.
        .target(name: "Torch", dependencies: ["CTorch"]),
        .target(name: "Media", dependencies: ["CPNG", "CSndFile"]),
        .target(name: "Latent", dependencies: ["Torch", "Media", "CCrypto"]),
        .executableTarget(
            name: "LatentCLI",
            dependencies: [
                "Latent", "CEarlyStart",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),

        // Timed beside PyTorch by Tools/Benchmarks/bench.py.
        .executableTarget(
            name: "Benchmarks", dependencies: ["Latent", "Torch"], path: "Tools/Benchmarks",
            exclude: ["bench.py", "bootstrap.sh", "peers.py", "whole.py", "instructions.py"]),

        .target(name: "TestSupport", path: "Tests/TestSupport"),
        // The kernels of CTorch by themselves, with tiles in plain C++.
        .target(
            name: "KernelTesting", dependencies: ["CTorch"], path: "Tests/KernelTesting",
            cxxSettings: [
                .headerSearchPath("../../Sources/CTorch/Kernels"), .unsafeFlags(["-O2"]),
            ]),
        .testTarget(name: "TorchTests", dependencies: ["Torch", "TestSupport", "KernelTesting"]),
        .testTarget(name: "MediaTests", dependencies: ["Media", "TestSupport"]),
        .testTarget(name: "LatentTests", dependencies: ["Latent", "TestSupport"]),
        .testTarget(name: "LatentCLITests", dependencies: ["Latent", "LatentCLI", "TestSupport"]),
    ],
    swiftLanguageModes: [.v6],
    cxxLanguageStandard: .cxx20
)

// A warning is an error, everywhere in this package and in every build.
for target in package.targets where target.type != .system {
    target.swiftSettings = (target.swiftSettings ?? []) + [.treatAllWarnings(as: .error)]
    target.cSettings = (target.cSettings ?? []) + [.treatAllWarnings(as: .error)]
    target.cxxSettings = (target.cxxSettings ?? []) + [.treatAllWarnings(as: .error)]
}
